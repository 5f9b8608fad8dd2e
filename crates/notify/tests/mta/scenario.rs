//! What has to go well through any mail server.

use std::{collections::BTreeMap, fs, sync::Arc};

use koshin_notify::{
    Composed, Disposition, Mail, MailId, Mailer, MemoryOutbox, Tasks as _, Trouble, Verp, Wake, Whose,
    bounces::{BounceBox, Collected},
    compose,
};
use koshin_types::Language;

use crate::{
    fixture::{NOW, address, mail, notices, plain, sender},
    judges::{judge, python},
    relay::{BOUNCES, PEOPLE, Relay},
};

fn verp() -> Verp {
    Verp::new("bounce", "midori.example", [7; 32]).unwrap()
}

/// Every mail in both languages, by name.
fn all() -> BTreeMap<String, Mail> {
    let named = |name: &str, notice: &koshin_notify::Notice, language| {
        let mail = mail(notice.clone(), language);
        let name = format!("{name}.{language}");
        let id = MailId::derive(&mail.kind, &mail.subject_id, &name);
        (name, Mail { id, to: address("taro@people.example"), ..mail })
    };
    let both = |(name, notice)| Language::ALL.map(|language| named(name, &notice, language));
    notices().into_iter().flat_map(both).collect()
}

/// One relay through the whole scenario.
pub(crate) async fn play(relay: &Relay) {
    let outbox = Arc::new(MemoryOutbox::default());
    let mailer = Mailer::new(Arc::clone(&outbox), relay.client(), sender().with_verp(verp()));
    let put = |mail: Mail| assert!(outbox.put(mail, NOW));

    let mails = all();
    mails.values().cloned().for_each(put);
    assert_eq!(mailer.run(NOW).await.unwrap(), Wake::Idle, "{}", relay.log());
    for (name, mail) in &mails {
        assert_eq!(outbox.end(mail.id), Some(Disposition::Sent), "{name}: {}", relay.log());
    }
    every_mail_arrives(relay, &mails);

    // One whom the server does not know, and one whom it takes and cannot deliver.
    let (unknown, gone) = (to("nobody@people.example"), to("gone@far.example"));
    put(unknown.clone());
    put(gone.clone());
    assert_eq!(mailer.run(NOW).await.unwrap(), Wake::Idle);
    let Some(Disposition::Undeliverable { reply }) = outbox.end(unknown.id) else {
        panic!("{:?}: {}", outbox.end(unknown.id), relay.log())
    };
    assert_eq!(reply.code(), Some(550), "{reply}");
    assert_eq!(outbox.end(gone.id), Some(Disposition::Sent));

    relay.messages(BOUNCES, 1);
    let returns = BounceBox::open(relay.folder(BOUNCES)).unwrap();
    let collected = returns.collect(&verp(), &*outbox, NOW).await.unwrap();
    assert_eq!(collected, Collected { noted: 1, idle: 0, foreign: 0 }, "{}", relay.log());
    let tasks = outbox.open_tasks(Whose::All, None, 9).await.unwrap();
    let mut troubles: Vec<_> = tasks.iter().map(|task| (task.mail, task.trouble)).collect();
    let mut expected = vec![(unknown.id, Trouble::Refused), (gone.id, Trouble::Bounced)];
    troubles.sort_unstable_by_key(|(mail, _)| *mail);
    expected.sort_unstable_by_key(|(mail, _)| *mail);
    assert_eq!(troubles, expected);
    let bounced = tasks.iter().find(|task| task.mail == gone.id).unwrap();
    assert!(bounced.said.starts_with("5.") && !bounced.said.contains('@'), "{}", bounced.said);
}

fn to(to: &str) -> Mail {
    Mail { to: address(to), ..plain(to) }
}

fn every_mail_arrives(relay: &Relay, mails: &BTreeMap<String, Mail>) {
    let messages = relay.messages(PEOPLE, mails.len());
    let sender = sender().with_verp(verp());
    let sent: BTreeMap<String, (&str, Composed)> = mails
        .iter()
        .map(|(name, mail)| (name.as_str(), compose(mail, &sender, NOW).unwrap()))
        .map(|(name, composed)| (composed.envelope.message_id.clone(), (name, composed)))
        .collect();
    let mut missing: Vec<_> = sent.keys().cloned().collect();
    for (read, file) in python(&messages).iter().zip(&messages) {
        let id = read["message_id"].as_str().unwrap();
        let (name, composed) = &sent[id];
        judge(name, read, &fs::read(file).unwrap(), composed);
        missing.retain(|other| other != id);
    }
    assert_eq!((messages.len(), missing), (mails.len(), Vec::new()), "each once");
}
