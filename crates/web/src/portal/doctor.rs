//! The certificate doctor, for everybody.

use axum::response::{IntoResponse as _, Redirect, Response};

use super::context::Context;
use crate::screens::{self, Doctor, Host};

/// GET `/doctor`: what the server saw, and the one next step. The public host asks nobody for a certificate, so it has
/// nothing to say about one and sends people to the host that does.
pub(crate) async fn doctor(context: Context) -> Response {
    if context.host == Host::Public {
        return Redirect::to(&format!("{}/doctor", context.portal.hosts.portal)).into_response();
    }
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
