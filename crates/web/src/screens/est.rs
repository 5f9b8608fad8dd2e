//! What programs are told instead of a certificate: plain text, short, with a code that stays the same.

use super::{
    RenderError,
    frame::{Frame, Page},
    problem::{Problem, problem_words},
    sign_in::wait,
};

/// A request of EST that is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EstRefusal {
    /// 202: recorded; the same request will be answered with the certificate.
    Recorded {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// 400: the body is not Base64.
    NotBase64,
    /// 400: the request names somebody else than the certificate.
    OtherNames,
    /// 401: a renewal takes a ticket.
    TicketNeeded,
    /// 401: the ticket does not hold.
    TicketWrong,
    /// 401: an enrolment takes ID and password.
    PasswordNeeded,
    /// 401: a code was sent, if ID and password were right.
    CodeSent {
        /// For how many minutes it is good.
        minutes: u32,
    },
    /// 401: the code is wrong.
    CodeWrong,
    /// 401: the code is over, or there was none.
    EnrolmentOver,
    /// 403: a renewal takes a certificate of ours.
    CertificateNeeded,
    /// 403: the certificate has ended.
    Expired,
    /// 403: the certificate waits for its activation, or was replaced or revoked.
    NotInUse,
    /// Anything that happens elsewhere too.
    Problem(Problem),
}

impl From<Problem> for EstRefusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl EstRefusal {
    /// The HTTP status. What is wrong with a request is 400 here (RFC 7030, 4.2.3).
    pub const fn status(&self) -> u16 {
        match self {
            Self::Recorded { .. } => 202,
            Self::NotBase64 | Self::OtherNames => 400,
            Self::TicketNeeded
            | Self::TicketWrong
            | Self::PasswordNeeded
            | Self::CodeSent { .. }
            | Self::CodeWrong
            | Self::EnrolmentOver => 401,
            Self::CertificateNeeded | Self::Expired | Self::NotInUse => 403,
            Self::Problem(problem) => match problem.status() {
                422 => 400,
                status => status,
            },
        }
    }

    /// The code that stays the same whatever the language.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Recorded { .. } => "est.recorded",
            Self::NotBase64 => "est.base64",
            Self::OtherNames => "est.names",
            Self::TicketNeeded => "est.ticket_needed",
            Self::TicketWrong => "est.ticket_wrong",
            Self::PasswordNeeded => "est.password_needed",
            Self::CodeSent { .. } => "est.code_sent",
            Self::CodeWrong => "est.code_wrong",
            Self::EnrolmentOver => "est.enrolment_over",
            Self::CertificateNeeded => "est.certificate_needed",
            Self::Expired => "est.expired",
            Self::NotInUse => "est.not_in_use",
            Self::Problem(problem) => problem.code(),
        }
    }

    /// Seconds for `Retry-After`, where waiting helps.
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Recorded { retry_after } => Some(*retry_after),
            Self::Problem(problem) => problem.retry_after(),
            _ => None,
        }
    }

    /// The challenge of a 401 (RFC 7617).
    pub const fn realm(&self) -> Option<&'static str> {
        match self {
            Self::TicketNeeded | Self::TicketWrong => {
                Some("Basic realm=\"renewal: ID and renewal ticket\", charset=\"UTF-8\"")
            }
            Self::PasswordNeeded => Some("Basic realm=\"enrolment: ID and password\", charset=\"UTF-8\""),
            Self::CodeSent { .. } | Self::CodeWrong | Self::EnrolmentOver => {
                Some("Basic realm=\"enrolment: ID and one-time code\", charset=\"UTF-8\"")
            }
            _ => None,
        }
    }
}

/// The text of a refusal: what happened, how to go on, the code. Ends with a line break.
///
/// # Errors
///
/// [`RenderError`] when a text fails, which tests rule out.
pub fn est_refusal(frame: &Frame<'_>, refusal: &EstRefusal) -> Result<String, RenderError> {
    let page = Page::new(frame, "ticket-title")?;
    let words = match refusal {
        EstRefusal::Problem(problem) => {
            let words = problem_words(frame, problem)?;
            format!("{}\n{}", words.title(), words.detail())
        }
        EstRefusal::Recorded { retry_after } => page.t1("est-recorded", "wait", wait(&page, *retry_after)?)?.to_text(),
        EstRefusal::CodeSent { minutes } => page.t1("est-code-sent", "minutes", minutes)?.to_text(),
        EstRefusal::NotBase64 => page.t("est-base64")?.to_text(),
        EstRefusal::OtherNames => page.t("est-names")?.to_text(),
        EstRefusal::TicketNeeded => page.t("est-ticket-needed")?.to_text(),
        EstRefusal::TicketWrong => page.t("est-ticket-wrong")?.to_text(),
        EstRefusal::PasswordNeeded => page.t("est-password-needed")?.to_text(),
        EstRefusal::CodeWrong => page.t("est-code-wrong")?.to_text(),
        EstRefusal::EnrolmentOver => page.t("est-enrolment-over")?.to_text(),
        EstRefusal::CertificateNeeded => page.t("est-certificate-needed")?.to_text(),
        EstRefusal::Expired => page.t1("est-expired", "url", frame.hosts.public.as_str())?.to_text(),
        EstRefusal::NotInUse => page.t("est-not-in-use")?.to_text(),
    };
    Ok(format!("{words}\n{}\n", page.t1("code", "code", refusal.code())?.to_text()))
}
