use std::fs;

use koshin_notify::{Mailbox, Maildir, Outcome, Transport, compose};

use crate::fixture::{NOW, plain, sender};

#[tokio::test]
async fn a_maildir_holds_each_mail_once_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = Maildir::open(folder.path().join("box")).unwrap();
    for key in ["a", "b", "a"] {
        let composed = compose(&plain(key), &sender(), NOW).unwrap();
        assert_eq!(maildir.send(&composed.envelope, &composed.mime).await, Outcome::Accepted);
    }
    let list = |name: &str| {
        fs::read_dir(folder.path().join("box").join(name)).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!((list("new").len(), list("tmp").len(), list("cur").len()), (2, 0, 0));
    for file in list("new") {
        let name = file.file_name().into_string().unwrap();
        let key = if name.contains(&plain("a").id.to_string()) { "a" } else { "b" };
        assert_eq!(fs::read(file.path()).unwrap(), *compose(&plain(key), &sender(), NOW).unwrap().mime);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_maildir_that_is_gone_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = Maildir::open(folder.path().join("box")).unwrap();
    fs::remove_dir_all(folder.path().join("box")).unwrap();
    let composed = compose(&plain("a"), &sender(), NOW).unwrap();
    let outcome = maildir.send(&composed.envelope, &composed.mime).await;
    assert!(matches!(outcome, Outcome::Transient { reply } if reply.code().is_none()));
}

#[tokio::test]
async fn a_mailbox_keeps_the_newest_thousand() {
    let mailbox = Mailbox::default();
    let other = mailbox.clone();
    for key in 0..=Mailbox::CAPACITY {
        let composed = compose(&plain(&key.to_string()), &sender(), NOW).unwrap();
        other.send(&composed.envelope, &composed.mime).await;
    }
    let mails = mailbox.newest(usize::MAX);
    assert_eq!(mails.len(), 1000);
    let id = |key: &str| format!("<{}@midori.example>", plain(key).id);
    assert_eq!(mails[0].envelope.message_id, id("1000"));
    assert_eq!(mails[999].envelope.message_id, id("1"), "the oldest made room");
}
