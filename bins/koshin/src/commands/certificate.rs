//! `koshin certificate`.

use clap::{Args, Subcommand};
use koshin_expiry::Policy;
use koshin_operator::output::Form;
use koshin_ra::Directory as _;
use koshin_types::{OrganizationId, Validity};
use time::{Duration, UtcDateTime};

use super::{desk::Place, view::CertificateView};

/// The certificates that were issued.
#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// List certificates
    List(ListArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only active ones that end within this time, the soonest first: 12h, or 30d as the policy's calendar counts days
    #[arg(long, value_name = "TIME", value_parser = span)]
    expiring: Option<Span>,
    /// Only those of one organization
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(command: CertificateCommand) -> anyhow::Result<()> {
    let CertificateCommand::List(arguments) = command;
    let desk = arguments.place.open().await?;
    desk.knows(arguments.organization.as_ref()).await?;
    let (policy, now) = (&desk.policy, desk.now);
    let mut views = Vec::new();
    if let Some(span) = arguments.expiring {
        let files = desk.store.expiring(now, now.saturating_add(span.most())).await?;
        let wanted = |of: &OrganizationId| arguments.organization.as_ref().is_none_or(|wanted| wanted == of);
        for file in files.iter().filter(|file| wanted(&file.subject.organization)) {
            let held = file.holding.current().filter(|held| span.holds(policy, held.validity, now));
            views.extend(held.map(|held| CertificateView::new(file, held, policy, now)));
        }
    } else {
        for file in &desk.store.subjects(arguments.organization.as_ref(), None).await? {
            let held = file.holding.certificates.iter();
            views.extend(held.map(|held| CertificateView::new(file, held, policy, now)));
        }
    }
    Form::new(arguments.json).list(views)
}

/// How far to look ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// As many days left as screens and mails say.
    Days(u32),
    /// Hours or minutes.
    Exact(Duration),
}

impl Span {
    /// The longest time that a certificate of this span can still have.
    fn most(self) -> Duration {
        match self {
            // A local date has begun up to a day before it ends, and a zone may be put back by hours.
            Self::Days(days) => Duration::days(i64::from(days).saturating_add(3)),
            Self::Exact(time) => time,
        }
    }

    fn holds(self, policy: &Policy, validity: Validity, now: UtcDateTime) -> bool {
        match self {
            Self::Days(days) => policy.days_left(validity, now).is_some_and(|left| left <= days),
            Self::Exact(_) => true,
        }
    }
}

/// A number with `d`, `h` or `m` behind it.
fn span(text: &str) -> Result<Span, String> {
    let wrong = || format!("{text:?} is no time such as 30d, 12h or 90m");
    let number = |unit: char| text.strip_suffix(unit).and_then(|number| number.parse::<u32>().ok());
    let exact =
        |unit, seconds: i64| number(unit).map(|number| Span::Exact(Duration::seconds(i64::from(number) * seconds)));
    number('d').map(Span::Days).or_else(|| exact('h', 3_600)).or_else(|| exact('m', 60)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn spans() {
        assert_eq!(span("30d"), Ok(Span::Days(30)));
        assert_eq!(span("12h"), Ok(Span::Exact(Duration::hours(12))));
        assert_eq!(span("0m"), Ok(Span::Exact(Duration::ZERO)));
        for wrong in ["", "30", "d", "-1d", "1.5d", "30 d", "4294967296d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_are_those_that_the_screens_show() {
        let policy = Policy::default_jst();
        let not_after = utc_datetime!(2026-12-22 14:59:59);
        let validity = Validity::new(not_after - Duration::days(365), not_after).unwrap();
        // The first instant with 30 days left is 31 days before the end.
        let first = utc_datetime!(2026-11-21 15:00:00);
        assert!(Span::Days(30).holds(&policy, validity, first));
        assert!(!Span::Days(30).holds(&policy, validity, first - Duration::MILLISECOND));
        assert!(not_after <= first + Span::Days(30).most());
    }
}
