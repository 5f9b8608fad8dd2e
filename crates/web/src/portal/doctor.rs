//! The certificate doctor, on every host and for everybody.

use axum::response::Response;

use super::context::Context;
use crate::screens::{self, Doctor, Host};

/// GET `/doctor`: what the server saw, and the one next step.
pub(crate) async fn doctor(context: Context) -> Response {
    let result = async {
        let seen = context.seen().await?;
        let hosts = &context.portal.hosts;
        let base = match context.host {
            Host::Portal => &hosts.portal,
            Host::Public => &hosts.public,
            Host::Activate => &hosts.activate,
        };
        let host_name = base.strip_prefix("https://").unwrap_or(base);
        let view = Doctor { seen: &seen, host_name, tls: context.protocol, now: context.now };
        Ok(context.page(screens::doctor(&context.frame(), &view)?))
    };
    context.answer(result.await)
}
