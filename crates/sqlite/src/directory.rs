//! The port `Directory`.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_notify::Mail;
use koshin_ra::{AuditNote, Directory, DirectoryError, Organization, Revocation, StorageError, Subject, SubjectFile};
use koshin_types::{OrganizationId, Role};
use sqlx::Row as _;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, millis, signed},
    commit::put_mail,
    file::{self, Loaded, file_query},
    fresh::Fresh,
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

struct AddOrganization {
    organization: Organization,
    note: Entry,
}

#[async_trait]
impl Job for AddOrganization {
    type Done = ();
    type Refused = DirectoryError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<DirectoryError>> {
        if organization_number(tx, &self.organization.id).await?.is_some() {
            let id = self.organization.id.to_string();
            return Err(Failed::Refused(DirectoryError::Exists { what: "organization", id }));
        }
        let mut script = Script::one("/* AddOrganization::run */ INSERT INTO organizations (id, name) VALUES (?, ?)");
        script.bind(self.organization.id.as_str()).bind(self.organization.name.as_str());
        self.note.clone().append(&mut tx.head, &mut script);
        tx.write_last(script).await?;
        Ok(())
    }
}

struct AddSubject {
    subject: Subject,
    note: Entry,
}

#[async_trait]
impl Job for AddSubject {
    type Done = ();
    type Refused = DirectoryError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<DirectoryError>> {
        if version(tx, &self.subject).await?.is_some() {
            let id = self.subject.id.to_string();
            return Err(Failed::Refused(DirectoryError::Exists { what: "subject", id }));
        }
        let organization = needed(tx, &self.subject.organization).await?;
        let mut script = Script::one(
            "/* AddSubject::run */ INSERT INTO subjects (organization, role, name, language, address, \
             address_rests_until, password_hash, last_sign_in, version, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        );
        bind(&mut script, organization, &self.subject);
        script.bind(self.subject.last_sign_in.map(millis)).bind(self.subject.id.as_str());
        self.note.clone().append(&mut tx.head, &mut script);
        tx.write_last(script).await?;
        Ok(())
    }
}

struct UpdateSubject {
    fresh: Fresh,
    subject: Subject,
    version: u64,
    mails: Vec<Mail>,
    at: UtcDateTime,
    note: Entry,
}

#[async_trait]
impl Job for UpdateSubject {
    type Done = ();
    type Refused = DirectoryError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<DirectoryError>> {
        let Some(found) = version(tx, &self.subject).await? else {
            return Err(missing("subject", &self.subject.id.to_string()));
        };
        if found != signed(self.version) {
            return Err(Failed::Refused(DirectoryError::Conflict));
        }
        let organization = needed(tx, &self.subject.organization).await?;
        let mut script = Script::one(
            "/* UpdateSubject::run */ DELETE FROM sessions WHERE subject IN \
             (SELECT id FROM subjects WHERE id = ? AND (address IS NOT ? OR password_hash IS NOT ?))",
        );
        script
            .bind(self.subject.id.as_str())
            .bind(self.subject.address.as_ref().map(|address| address.as_str().to_owned()));
        script.bind(self.subject.password_hash.as_deref());
        // A sign-in is no change of the file; one since it was read stays.
        script.push(
            "/* UpdateSubject::run */ UPDATE subjects SET organization = ?, role = ?, name = ?, language = ?, \
             address = ?, address_rests_until = ?, password_hash = ?, version = version + 1 WHERE id = ?",
        );
        bind(&mut script, organization, &self.subject);
        script.bind(self.subject.id.as_str());
        for mail in &self.mails {
            put_mail(&mut script, mail, self.at);
        }
        self.note.clone().append(&mut tx.head, &mut script);
        tx.write_last(script).await?;
        Ok(())
    }

    fn durable(&self, (): &()) {
        self.fresh.forget_file(&self.subject.id);
        self.fresh.forget_sessions_of(&self.subject.id);
    }
}

fn bind(script: &mut Script, organization: i64, subject: &Subject) {
    script.bind(organization).bind(subject.role.as_str()).bind(subject.name.as_str()).bind(subject.language.as_str());
    script.bind(subject.address.as_ref().map(|address| address.as_str().to_owned()));
    script.bind(subject.address_rests_until.map(millis)).bind(subject.password_hash.as_deref());
}

async fn organization_number(tx: &mut Transaction<'_>, id: &OrganizationId) -> sqlx::Result<Option<i64>> {
    let query = "/* directory::organization_number */ SELECT number FROM organizations WHERE id = ?";
    let rows = tx.read(Script::one(query).with(id.as_str())).await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}

async fn needed(tx: &mut Transaction<'_>, id: &OrganizationId) -> Result<i64, Failed<DirectoryError>> {
    organization_number(tx, id).await?.ok_or_else(|| missing("organization", &id.to_string()))
}

async fn version(tx: &mut Transaction<'_>, subject: &Subject) -> sqlx::Result<Option<i64>> {
    let query = "/* directory::version */ SELECT version FROM subjects WHERE id = ?";
    let rows = tx.read(Script::one(query).with(subject.id.as_str())).await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}

fn missing(what: &'static str, id: &str) -> Failed<DirectoryError> {
    Failed::Refused(DirectoryError::Missing { what, id: id.to_owned() })
}

impl Store {
    async fn listed(&self, script: Script) -> Result<Vec<Arc<SubjectFile>>, StorageError> {
        let rows = self.readers().all(script).await?;
        Ok(file::files(&rows)?.into_iter().map(|Loaded { file, .. }| file).collect())
    }
}

#[async_trait]
impl Directory for Store {
    async fn add_organization(
        &self,
        organization: &Organization,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError> {
        let (organization, note) = (organization.clone(), Entry::note(&note, at));
        self.write(AddOrganization { organization, note }).await
    }

    async fn add_subject(&self, subject: &Subject, note: AuditNote, at: UtcDateTime) -> Result<(), DirectoryError> {
        self.write(AddSubject { subject: subject.clone(), note: Entry::note(&note, at) }).await
    }

    async fn update_subject(
        &self,
        subject: &Subject,
        version: u64,
        mails: Vec<Mail>,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError> {
        let note = Entry::note(&note, at);
        self.write(UpdateSubject { fresh: self.fresh().clone(), subject: subject.clone(), version, mails, at, note })
            .await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StorageError> {
        let query = "/* Store::organizations */ SELECT id, name FROM organizations ORDER BY id";
        let rows = self.readers().all(Script::one(query)).await?;
        let organization = |row| {
            let mut columns = Columns::of(row);
            Ok(Organization { id: columns.word("organizations.id")?, name: columns.get("organizations.name")? })
        };
        rows.iter().map(organization).collect()
    }

    async fn subjects(
        &self,
        organization: Option<&OrganizationId>,
        role: Option<Role>,
    ) -> Result<Vec<Arc<SubjectFile>>, StorageError> {
        const ALL: &str =
            file_query!("Store::subjects", "WHERE coalesce(s.role = ?, TRUE) ORDER BY s.id, c.generation");
        const SOME: &str =
            file_query!("Store::subjects", "WHERE o.id = ? AND coalesce(s.role = ?, TRUE) ORDER BY s.id, c.generation");
        let script = match organization {
            None => Script::one(ALL),
            Some(id) => Script::one(SOME).with(id.as_str()),
        };
        self.listed(script.with(role.map(Role::as_str))).await
    }

    async fn expiring(&self, from: UtcDateTime, until: UtcDateTime) -> Result<Vec<Arc<SubjectFile>>, StorageError> {
        const QUERY: &str = file_query!(
            "Store::expiring",
            "JOIN certificates AS a ON a.subject = s.number AND a.status = 'active' \
             WHERE a.not_after BETWEEN ? AND ? ORDER BY a.not_after, s.id, c.generation"
        );
        // notAfter is a whole second.
        let first = from.unix_timestamp() + i64::from(from.nanosecond() > 0);
        self.listed(Script::one(QUERY).with(first).with(until.unix_timestamp())).await
    }

    async fn revoked(&self) -> Result<Vec<Revocation>, StorageError> {
        let query = "/* Store::revoked */ SELECT serial, status_at, reason FROM certificates \
                     WHERE status = 'revoked' ORDER BY serial";
        let rows = self.readers().all(Script::one(query)).await?;
        let revocation = |row| {
            let mut columns = Columns::of(row);
            Ok(Revocation {
                serial: columns.serial("certificates.serial")?,
                at: columns.instant("certificates.status_at")?,
                reason: columns.word("certificates.reason")?,
            })
        };
        rows.iter().map(revocation).collect()
    }
}
