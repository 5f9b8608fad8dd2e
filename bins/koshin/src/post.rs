//! The mails: planned when time makes them due, sent when they are owed, and noticed when they come back.

use std::{sync::Arc, time::Duration as Wait};

use koshin_expiry::Policy;
use koshin_notify::{Mailer, Planner, Sender, Settings, Transport, Wake};
use koshin_sqlite::Store;
use koshin_web::portal::Calendar;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{clock::Clock, config::Returns, service::stopped};

/// Who sends mails, by which way, and how it is noticed that some came back.
pub(crate) struct Mailing {
    pub(crate) sender: Sender,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) settings: Settings,
    /// `None` where nobody listens for what comes back.
    pub(crate) returns: Option<Returns>,
}

/// Calendar files in the words of a sender.
pub(crate) fn calendar(sender: Sender) -> Calendar {
    Box::new(move |dates| {
        koshin_notify::calendar(&dates.serial, dates.validity, dates.window_opens, dates.language, &sender, dates.now)
    })
}

/// How often other processes' mails are looked for.
const MAIL_EVERY: Wait = Wait::from_secs(2);
/// How often it is looked for what came back: it took minutes to days to get there.
const RETURNS_EVERY: Wait = Wait::from_mins(1);

impl Mailing {
    /// Without limits, and without an ear for what comes back.
    pub(crate) fn new(sender: Sender, transport: Arc<dyn Transport>) -> Self {
        Self { sender, transport, settings: Settings::default(), returns: None }
    }

    /// Plans, sends and listens until it is to stop. `planned` is told of each mail that this process owes.
    pub(crate) fn begin(
        self,
        tasks: &mut JoinSet<()>,
        store: &Arc<Store>,
        policy: &Policy,
        clock: &Clock,
        planned: Arc<Notify>,
        stopping: &watch::Receiver<bool>,
    ) {
        let Self { sender, transport, settings, returns } = self;
        let post = Post {
            planner: Planner::new(store.clone(), policy.clone()),
            mailer: Mailer::new(store.clone(), transport, sender).with_settings(settings),
        };
        tasks.spawn(send_mails(post, clock.clone(), planned, stopping.clone()));
        if let Some(returns) = returns {
            tasks.spawn(listen(returns, store.clone(), clock.clone(), stopping.clone()));
        }
    }
}

/// The planner owes the notices of expiry; the mailer sends whatever is owed.
struct Post<T> {
    planner: Planner<Arc<Store>>,
    mailer: Mailer<Arc<Store>, T>,
}

/// Plans what time makes due, and sends what is owed, as soon as it is planned here and soon after it is planned
/// elsewhere.
async fn send_mails<T: Transport>(post: Post<T>, clock: Clock, planned: Arc<Notify>, stopping: watch::Receiver<bool>) {
    loop {
        let wake = match clock.trusted() {
            Ok(()) => post.run(&clock).await,
            Err(_) => MAIL_EVERY,
        };
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = planned.notified() => {}
            () = tokio::time::sleep(wake) => {}
        }
    }
}

impl<T: Transport> Post<T> {
    /// Plans and sends what is due, and answers how long to wait. Mails go out even where none can be planned.
    async fn run(&self, clock: &Clock) -> Wait {
        let planned = self.planner.run(clock.now()).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "notices of expiry cannot be planned");
            Wake::Idle
        });
        let sent = self.mailer.run(clock.now()).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "mails cannot be sent");
            Wake::Idle
        });
        let wait = |wake| match wake {
            Wake::Now => Wait::ZERO,
            Wake::At(at) => Wait::try_from(at - clock.now()).unwrap_or_default(),
            Wake::Idle => MAIL_EVERY,
        };
        wait(planned).min(wait(sent)).min(MAIL_EVERY)
    }
}

/// Notes which mails came back. While the clock is doubted they wait, because what is noted bears an instant.
async fn listen(returns: Returns, store: Arc<Store>, clock: Clock, stopping: watch::Receiver<bool>) {
    loop {
        let mut wait = RETURNS_EVERY;
        match clock.trusted() {
            Ok(()) => {
                if let Err(error) = returns.maildir.collect(&returns.verp, &store, clock.now()).await {
                    tracing::error!(error = ?error, "what came back cannot be noted");
                }
            }
            Err(_) => wait = MAIL_EVERY,
        }
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
