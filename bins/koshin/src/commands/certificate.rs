//! `koshin certificate`.

use clap::{Args, Subcommand};
use koshin_ra::Directory as _;
use koshin_types::OrganizationId;
use time::Duration;

use super::{desk::Place, view::CertificateView};
use crate::output::Form;

/// The certificates that were issued.
#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// List certificates
    List(ListArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only active ones that end within this time, such as 30d or 12h; the soonest first
    #[arg(long, value_name = "TIME", value_parser = span)]
    expiring: Option<Duration>,
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
    let (policy, now) = (&desk.policy, desk.now);
    let mut views = Vec::new();
    if let Some(span) = arguments.expiring {
        let files = desk.store.expiring(now, now.saturating_add(span)).await?;
        let wanted = |of: &OrganizationId| arguments.organization.as_ref().is_none_or(|wanted| wanted == of);
        for file in files.iter().filter(|file| wanted(&file.subject.organization)) {
            views.extend(file.holding.current().map(|held| CertificateView::new(file, held, policy, now)));
        }
    } else {
        for file in &desk.store.subjects(arguments.organization.as_ref()).await? {
            let held = file.holding.certificates.iter();
            views.extend(held.map(|held| CertificateView::new(file, held, policy, now)));
        }
    }
    Form::new(arguments.json).list(views)
}

/// A number with `d`, `h` or `m` behind it.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 30d, 12h or 90m");
    let (number, seconds) = [("d", 86_400), ("h", 3_600), ("m", 60)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))
        .ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::seconds(i64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("30d"), Ok(Duration::days(30)));
        assert_eq!(span("12h"), Ok(Duration::hours(12)));
        assert_eq!(span("0m"), Ok(Duration::ZERO));
        for wrong in ["", "30", "d", "-1d", "1.5d", "30 d", "4294967296d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
