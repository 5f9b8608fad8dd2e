//! `koshin task`.

use clap::{Args, Subcommand};
use koshin_notify::{MailId, Task, Tasks as _, Trouble, Whose};
use koshin_operator::{
    instant::rfc3339,
    output::{Form, Row},
};
use koshin_ra::AuditNote;
use koshin_types::{OrganizationId, SubjectId};
use serde::Serialize;
use serde_json::json;

use super::desk::Place;
use crate::exit::Fault;

const LIST: &str = "\
Example:
koshin task list --subject U-1001";
const SETTLE: &str = "\
Example:
koshin task settle 5bd62dc24bd8b1d40b2e9f3d7d8a6c11";

/// Mails that reached nobody, until somebody has seen to it.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List them, the oldest first
    ///
    /// A task is there as soon as a mail was refused for ever, came back, or has an unknown fate. It goes when it is
    /// settled, or when the address is changed to which the mail went (`koshin subject set-address`).
    #[command(after_help = LIST)]
    List(ListArguments),
    /// Close one: it was seen to
    #[command(after_help = SETTLE)]
    Settle(SettleArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only those of mails that speak of one ID
    #[arg(long, value_name = "ID")]
    subject: Option<SubjectId>,
    /// Only those of mails that speak of an ID of one organization
    #[arg(long, value_name = "ID", conflicts_with = "subject")]
    organization: Option<OrganizationId>,
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct SettleArguments {
    /// The mail, as it is listed
    #[arg(value_name = "MAIL")]
    id: MailId,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Tasks that are read at once.
const PAGE: usize = 500;

pub(crate) async fn run(command: TaskCommand) -> anyhow::Result<()> {
    match command {
        TaskCommand::List(ListArguments { subject, organization, json, place }) => {
            let store = place.open().await?.store;
            let whose = match (&subject, &organization) {
                (Some(id), _) => Whose::About(id),
                (None, Some(id)) => Whose::Organization(id),
                (None, None) => Whose::All,
            };
            let mut tasks: Vec<Task> = Vec::new();
            loop {
                let after = tasks.last().map(|task| (task.at, task.mail));
                let page = store.open_tasks(whose, after, PAGE).await?;
                let more = page.len() == PAGE;
                tasks.extend(page);
                if !more {
                    return Form::new(json).list(tasks.into_iter().map(TaskView::new));
                }
            }
        }
        TaskCommand::Settle(SettleArguments { id, json, place }) => {
            let desk = place.open().await?;
            let details = [("mail", id.to_string())].into();
            let note = AuditNote { actor: desk.actor.clone(), subject: None, word: "task_settled", details };
            if !desk.store.settle_noted(id, &note, desk.now).await? {
                return Err(Fault::not_found(format!("there is no open task of mail {id}")).into());
            }
            Form::new(json).one(&json!({"mail": id.to_string(), "done": "settled"}))
        }
    }
}

/// One task. The JSON is a contract: members are only added.
#[derive(Debug, Serialize)]
struct TaskView {
    mail: String,
    subject: String,
    kind: String,
    /// `refused`, `bounced` or `unknown`.
    trouble: &'static str,
    at: String,
    /// What a mail server said.
    said: String,
}

impl TaskView {
    fn new(task: Task) -> Self {
        Self {
            mail: task.mail.to_string(),
            subject: task.subject_id.to_string(),
            kind: task.kind,
            trouble: match task.trouble {
                Trouble::Refused => "refused",
                Trouble::Bounced => "bounced",
                Trouble::Unknown => "unknown",
            },
            at: rfc3339(task.at),
            said: task.said,
        }
    }
}

impl Row for TaskView {
    const HEAD: &'static [&'static str] = &["MAIL", "SUBJECT", "KIND", "TROUBLE", "SINCE"];

    fn cells(&self) -> Vec<String> {
        vec![self.mail.clone(), self.subject.clone(), self.kind.clone(), self.trouble.to_owned(), self.at.clone()]
    }
}
