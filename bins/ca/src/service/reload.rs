//! Taking up a configuration that was changed while the service works.

use std::{
    fs,
    path::Path,
    time::{Duration as Wait, SystemTime},
};

use koshin_operator::{instant::rfc3339, machine::Hangups};
use time::UtcDateTime;
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place},
    time::{Instant, interval},
};

use super::{
    authority::Ground,
    lineup::{AtWork, Bar, Lineup},
    listening::Listening,
};
use crate::{
    commands::status::in_full,
    config::{Checked, Opened},
    share::Span,
};

/// How often it is looked whether `koshin-ca rollover` has changed the configuration.
const LOOK_EVERY: Wait = Wait::from_millis(200);
/// How often a CA that could not be taken up is tried again.
const TRY_AGAIN: Wait = Wait::from_secs(10);

/// What the service works by.
pub(super) struct Reload<'t> {
    pub(super) ground: Ground,
    pub(super) checked: Checked,
    pub(super) opened: Opened,
    pub(super) at_work: AtWork,
    pub(super) bar: Bar,
    pub(super) listening: Listening,
    pub(super) tasks: &'t mut JoinSet<()>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// What tells one text of a file from the next.
type Look = Option<(SystemTime, u64)>;

async fn next(hangups: &mut Option<Hangups>) {
    match hangups {
        Some(hangups) => hangups.next().await,
        None => std::future::pending().await,
    }
}

fn look(file: &Path) -> Look {
    let found = fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}

impl Reload<'_> {
    /// Reads the configuration again when it is asked to, and by itself when the CAs in it are others, until `shutdown` is
    /// ready: a rollover waits for nobody who would restart the service.
    pub(super) async fn watch(mut self, mut hangups: Option<Hangups>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut seen = look(&self.checked.file);
        // It may have been changed since it was read.
        self.look_for_turns().await;
        let mut looks = interval(LOOK_EVERY);
        let mut again: Option<Instant> = None;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = next(&mut hangups) => {
                    seen = look(&self.checked.file);
                    again = self.reload().await;
                }
                _ = looks.tick() => {
                    let now = look(&self.checked.file);
                    if now != seen {
                        seen = now;
                        again = self.look_for_turns().await;
                    } else if again.is_some_and(|at| at <= Instant::now()) {
                        again = self.look_for_turns().await;
                    }
                }
            }
        }
    }

    /// Takes up the configuration if it names other CAs, or other turns of them.
    async fn look_for_turns(&mut self) -> Option<Instant> {
        match Checked::read(&self.checked.file) {
            Ok(checked) if checked.has_the_turns_of(&self.checked) => {
                self.bar.set(None);
                None
            }
            Ok(checked) => self.take_up_or_bar(checked).await,
            Err(error) => {
                tracing::warn!(error = %error, "the configuration was changed and cannot be read; the old one stays");
                None
            }
        }
    }

    /// Takes up the configuration, whatever is new in it.
    async fn reload(&mut self) -> Option<Instant> {
        match Checked::read(&self.checked.file) {
            Ok(checked) => self.take_up_or_bar(checked).await,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(code = "reload_refused", error, "the configuration is refused; the old one stays");
                None
            }
        }
    }

    /// Takes up a configuration. If that cannot be, the old one stays; but from the turn of a CA on that is not at work,
    /// nothing is signed: its serial numbers would be another one's. Answers when to try again.
    async fn take_up_or_bar(&mut self, checked: Checked) -> Option<Instant> {
        let turn = self.next_turn(&checked);
        let Err(error) = self.take_up(checked).await else {
            self.bar.set(None);
            self.at_work.hold();
            return None;
        };
        let error = in_full(error.as_ref());
        tracing::error!(code = "reload_refused", error, "the configuration cannot be taken up; the old one stays");
        let (ca, from) = turn?;
        let why = format!("the CA {ca} issues from {} on, and could not be taken up: {error}", rfc3339(from));
        tracing::error!(code = "ca_turn_refused", "{why}; nothing is signed from then on until it is");
        self.bar.set(Some((from, why)));
        Some(Instant::now() + TRY_AGAIN)
    }

    /// The first turn in a configuration that is not one of those at work.
    fn next_turn(&self, checked: &Checked) -> Option<(String, UtcDateTime)> {
        let lineup = self.at_work.lineup();
        let is_at_work = |stem: &str, from| {
            lineup.authorities.iter().any(|it| it.stem == stem && it.share.span().from == Some(from))
        };
        let turns = checked.config.authorities.iter().enumerate();
        let turns = turns.filter_map(|(at, authority)| Some((authority.stem(), checked.span(at).from?)));
        turns.filter(|(stem, from)| !is_at_work(stem, *from)).min_by_key(|(_, from)| *from)
    }

    async fn take_up(&mut self, checked: Checked) -> anyhow::Result<()> {
        let unlike = checked.unlike(&self.checked);
        if let Some(changed) = unlike.iter().find(|part| part.starts_with("the [[ca]]")) {
            anyhow::bail!("{changed} is at work with another certificate, chain or key; that takes a restart");
        }
        for part in unlike {
            tracing::warn!(part, "it was changed; that takes a restart");
        }
        let opened = block_in_place(|| checked.open_beside(&self.opened.authorities))?;
        let before = self.at_work.lineup();
        let lineup = Lineup::new(&self.ground, &checked, &opened, &self.bar, Some(&before))?;
        let is_new = |stem: &str| before.authorities.iter().all(|it| it.stem != stem);
        // Its list has to be shown before anybody asks for it.
        for authority in lineup.authorities.iter().filter(|it| is_new(&it.stem)) {
            authority.publisher.resume().await?;
        }
        let spans: Vec<Span> = lineup.authorities.iter().map(|authority| authority.share.span()).collect();
        let turned = turn(&lineup, &checked);
        if let Err(error) = turned.and_then(|()| self.listening.serve(self.tasks, &opened, &self.stopping)) {
            // All turns or none: two CAs must not share serial numbers.
            for (authority, span) in lineup.authorities.iter().zip(spans) {
                let _still_covers_what_it_drew = authority.share.set_span(span);
            }
            return Err(error);
        }
        for (at, authority) in lineup.authorities.iter().enumerate().filter(|(_, it)| is_new(&it.stem)) {
            authority.keep(&self.ground, self.tasks, &self.stopping);
            let issues_from = checked.span(at).from.map(rfc3339);
            tracing::warn!(code = "ca_taken_up", ca = authority.stem, issues_from, "a CA was taken up");
        }
        for authority in &before.authorities {
            if lineup.authorities.iter().all(|it| it.stem != authority.stem) {
                authority.leave(&self.ground.files);
                tracing::warn!(code = "ca_left", ca = authority.stem, "a former CA was taken out");
            }
        }
        self.at_work.replace(lineup);
        self.at_work.hold();
        (self.checked, self.opened) = (checked, opened);
        tracing::warn!(code = "reloaded", "the configuration was read again and is in effect");
        Ok(())
    }
}

/// Gives each CA its turn.
fn turn(lineup: &Lineup, checked: &Checked) -> anyhow::Result<()> {
    for (at, authority) in lineup.authorities.iter().enumerate() {
        if let Err(drawn) = authority.share.set_span(checked.span(at)) {
            anyhow::bail!(
                "{} has issued at {}, in another CA's turn; let that one's issues_from be later",
                authority.stem,
                rfc3339(drawn)
            );
        }
    }
    Ok(())
}
