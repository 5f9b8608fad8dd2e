//! What the demonstration says.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use koshin_types::Language;
use koshin_web::screens::Hosts;
use serde_json::json;
use time::{OffsetDateTime, UtcDateTime, macros::offset};

use super::people::{People, Person};
use crate::{exit::Fault, nss};

const RECORD: &str = "nss-import.json";

/// Everything listens.
pub(crate) struct Ready {
    pub(crate) hosts: Hosts,
    pub(crate) mailbox: String,
    pub(crate) ca_pem: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) people: People,
    pub(crate) temporary: bool,
    pub(crate) language: Language,
}

impl Ready {
    /// One line of JSON, or words for a person.
    pub(crate) fn say(&self, as_json: bool, now: UtcDateTime) -> anyhow::Result<()> {
        let mut out = koshin_operator::output::stdout();
        if as_json {
            writeln!(out, "{}", self.line(now))?;
        } else {
            self.words(&mut out, now)?;
        }
        Ok(out.flush()?)
    }

    fn line(&self, now: UtcDateTime) -> serde_json::Value {
        let subjects: Vec<_> = self
            .people
            .people
            .iter()
            .map(|person| {
                json!({
                    "id": person.id,
                    "role": person.role,
                    "language": person.language,
                    "password": person.password,
                    "p12": person.p12,
                    "p12_passphrase": person.p12_passphrase,
                    "state": state(person, now),
                    "days_left": days_left(person, now),
                })
            })
            .collect();
        json!({
            "event": "ready",
            "portal": self.hosts.portal,
            "public": self.hosts.public,
            "activate": self.hosts.activate,
            "operator": null,
            "mailbox": self.mailbox,
            "ca_pem": self.ca_pem,
            "data": self.data,
            "subjects": subjects,
        })
    }

    fn words(&self, out: &mut impl std::io::Write, now: UtcDateTime) -> anyhow::Result<()> {
        let ja = self.language == Language::Ja;
        let Self { hosts: Hosts { portal, public, activate }, mailbox, ca_pem, data, .. } = self;
        if ja {
            writeln!(out, "Koshin デモが動いています。終了するには Ctrl-C を押してください。\n")?;
            writeln!(out, "  ログイン（電子証明書が必要）    {portal}/")?;
            writeln!(out, "  電子証明書取得（証明書なし）    {public}/")?;
            writeln!(out, "  新しい証明書の確認              {activate}/")?;
            writeln!(out, "  届いたメール                    {mailbox}")?;
            writeln!(out, "  データ                          {}", data.display())?;
        } else {
            writeln!(out, "The Koshin demo is running. Press Ctrl-C to end it.\n")?;
            writeln!(out, "  Login (with a certificate)        {portal}/")?;
            writeln!(out, "  Obtain certificate (without one)  {public}/")?;
            writeln!(out, "  Does the new certificate work?    {activate}/")?;
            writeln!(out, "  Mails that were sent              {mailbox}")?;
            writeln!(out, "  Data                              {}", data.display())?;
        }
        writeln!(out)?;
        for person in &self.people.people {
            self.person(out, person, now)?;
        }
        let ca = ca_pem.display();
        if ja {
            writeln!(out, "\n試してみる:")?;
            writeln!(out, "  1. {ca} を認証局としてブラウザーに登録します。")?;
            writeln!(out, "  2. U-0030 の .p12 ファイルをブラウザーに読み込みます。")?;
            writeln!(out, "     （Linux の Chromium なら、--import-nss を付けると 1 と 2 を自動で行います）")?;
            writeln!(out, "  3. {portal}/ を開き、U-0030 とパスワードでログインし、「今すぐ更新する」を押します。")?;
        } else {
            writeln!(out, "\nTry it:")?;
            writeln!(out, "  1. Let your browser trust {ca} as an authority.")?;
            writeln!(out, "  2. Import the .p12 file of U-0030 into the browser.")?;
            writeln!(out, "     (For Chromium on Linux, --import-nss does 1 and 2.)")?;
            writeln!(out, "  3. Open {portal}/, log in as U-0030 and press \"Renew now\".")?;
        }
        if self.temporary {
            let note = if ja {
                "終了後もデータのフォルダーは鍵とともに残ります。続きは --data で指定して使い、不要になったら削除してください。"
            } else {
                "The data folder stays after the end, with its keys: go on with --data, or delete it."
            };
            writeln!(out, "\n{note}")?;
        }
        Ok(())
    }

    fn person(&self, out: &mut impl std::io::Write, person: &Person, now: UtcDateTime) -> anyhow::Result<()> {
        let ja = self.language == Language::Ja;
        let standing = match (days_left(person, now), &person.last_day, ja) {
            (Some(days), _, true) => format!("残り {days} 日"),
            (Some(days), _, false) => format!("{days} days left"),
            (None, Some(day), true) => format!("{day} に期限切れ"),
            (None, Some(day), false) => format!("expired on {day}"),
            (None, None, true) => "証明書は未取得".into(),
            (None, None, false) => "no certificate yet".into(),
        };
        let word = if ja { "パスワード" } else { "password" };
        writeln!(out, "  {:8} {}  {standing}", person.id, person.name)?;
        writeln!(out, "           {word} {}", person.password)?;
        if let (Some(p12), Some(passphrase)) = (&person.p12, &person.p12_passphrase) {
            let word = if ja { "パスフレーズ" } else { "passphrase" };
            writeln!(out, "           {p12}  {word} {passphrase}")?;
        }
        Ok(())
    }
}

fn state(person: &Person, now: UtcDateTime) -> &'static str {
    match person.not_after {
        None => "not_enrolled",
        Some(not_after) if now.unix_timestamp() <= not_after => "active",
        Some(_) => "expired",
    }
}

/// Local dates, as the policy counts them; none once the certificate has ended.
fn days_left(person: &Person, now: UtcDateTime) -> Option<i64> {
    let not_after = person.not_after.filter(|not_after| now.unix_timestamp() <= *not_after)?;
    let date = |at: UtcDateTime| OffsetDateTime::from(at).to_offset(offset!(+9)).date();
    let last = UtcDateTime::from_unix_timestamp(not_after).ok()?;
    Some((date(last) - date(now)).whole_days())
}

/// Japanese unless the terminal speaks another language.
pub(crate) fn language_of_the_terminal() -> Language {
    let variables = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let value = variables.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
    match value {
        Some(value) if value.starts_with("en") => Language::En,
        _ => Language::Ja,
    }
}

/// Puts the demo's CA and certificates into the user's NSS database, after a yes.
pub(crate) fn import_nss(ready: &Ready) -> anyhow::Result<()> {
    let identities: Vec<nss::Identity> = ready
        .people
        .people
        .iter()
        .filter_map(|person| {
            let (p12, passphrase) = (person.p12.clone()?, person.p12_passphrase.clone()?);
            Some(nss::Identity { p12: p12.into(), passphrase, label: person.id.clone() })
        })
        .collect();
    let database = nss::user_database()?;
    let imported = nss::import(&database, &ready.data.join(RECORD), &ready.ca_pem, &identities, ask)?;
    eprintln!("koshin: {imported}");
    if matches!(imported, nss::Imported::Added { .. }) {
        eprintln!("koshin: undo it with: koshin demo --remove-nss --data {}", ready.data.display());
    }
    Ok(())
}

/// Takes out what `import_nss` put in.
pub(crate) fn remove_nss(data: &Path) -> anyhow::Result<ExitCode> {
    let record = data.join(RECORD);
    if !record.exists() {
        let reason = format!("there is no {}: --import-nss put nothing in from this folder", record.display());
        return Err(Fault::not_found(reason).into());
    }
    let removed = nss::remove(&record)?;
    eprintln!("koshin: {removed}");
    Ok(ExitCode::SUCCESS)
}

/// A question on the terminal; no without one.
fn ask(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        eprintln!("koshin: {question} - there is no terminal to answer on, so the answer is no");
        return false;
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "はい")
}
