//! `simplereenroll`: the certificate in use, and a renewal ticket.

use axum::{body::Bytes, extract::rejection::BytesRejection, response::Response};
use http::HeaderMap;
use koshin_endpoints::est::{OtherNames, same_names};
use koshin_issuance::{CertificationRequest, Gate};
use koshin_ra::{IssuanceError, TicketError};
use koshin_renewal::Admission;

use super::{
    answer::{Refused, trouble},
    basic::Credentials,
    issued, request,
};
use crate::{
    portal::{context::Context, trouble::seconds_until},
    screens::{EstRefusal, Problem},
};

/// POST `/simplereenroll`.
pub(super) async fn renew(context: Context, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let result = async {
        let ra = &context.portal.ra;
        let credentials = Credentials::of(&headers);
        let shown = credentials.as_ref().map(Credentials::parts);
        let access = ra.ticket_access(context.fingerprint(), shown, context.now).await;
        let (access, renewal) = access.map_err(|error| refusal(&context, error))?;
        let request = request(&headers, body)?;
        let own = context.certificate.peer().map(|peer| peer.leaf_der.as_slice()).unwrap_or_default();
        same_names(&request, own).map_err(|other| match other {
            OtherNames::Subject | OtherNames::AlternativeName => EstRefusal::OtherNames.into(),
            _ => unreadable(&request),
        })?;
        let requested = ra.request_by_program(&access, renewal, &request, context.now).await;
        let (bundle, owed) = requested.map_err(trouble)?;
        context.portal.settle(&owed);
        Ok(issued(&bundle))
    };
    context.est_answer(result.await)
}

/// What cannot even be read: the gate knows best what it is, a private key above all.
fn unreadable(request: &[u8]) -> Refused {
    match CertificationRequest::from_der(request, &Gate::new()) {
        Err(rejected) => trouble(IssuanceError::from(rejected)),
        Ok(_) => Problem::Invalid.into(),
    }
}

fn refusal(context: &Context, error: TicketError) -> Refused {
    match error {
        TicketError::NoCertificate | TicketError::Certificate(Admission::Unknown) => {
            EstRefusal::CertificateNeeded.into()
        }
        TicketError::Certificate(Admission::Expired { .. }) => EstRefusal::Expired.into(),
        TicketError::Certificate(_) => EstRefusal::NotInUse.into(),
        TicketError::Needed => EstRefusal::TicketNeeded.into(),
        TicketError::Wrong => EstRefusal::TicketWrong.into(),
        TicketError::TooMany { retry_at } => {
            Problem::TooMany { retry_after: seconds_until(retry_at, context.now) }.into()
        }
        TicketError::Session(error) => trouble(error),
        TicketError::Change(error) => trouble(error),
        TicketError::Storage(error) => trouble(error),
        TicketError::Entropy(error) => trouble(error),
        _ => Problem::Forbidden.into(),
    }
}
