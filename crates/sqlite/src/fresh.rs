//! What was read lately and still holds.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use koshin_ra::{Commit, Session, SessionKey, SubjectFile};
use koshin_types::{Fingerprint, SubjectId};

use crate::{file::Loaded, writer::Outsiders};

/// The files of holders and the sessions that were asked for lately, so that not every request has to read them anew.
///
/// What this process writes is seen here before whoever wrote it gets an answer. What other processes write is noticed by
/// the writer within a fifth of a second, and then nothing here is believed any more; nor is it when nobody looked for a
/// second. Clones are one.
#[derive(Clone)]
pub(crate) struct Fresh {
    outsiders: Arc<Outsiders>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// How often others had written when this was read.
    writes: u64,
    /// Grows with every change of this process, so that nothing read before one is put in after it.
    changes: u64,
    files: Generations<SubjectId, Loaded>,
    holders: Generations<Fingerprint, SubjectId>,
    sessions: Generations<SessionKey, Session>,
}

/// When a reading began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    writes: u64,
    changes: u64,
}

impl Fresh {
    pub(crate) fn beside(outsiders: Arc<Outsiders>) -> Self {
        Self { outsiders, known: Arc::default() }
    }

    /// To be asked before something is read that is to be kept here; `None` when it cannot be kept.
    pub(crate) fn since(&self) -> Option<Since> {
        let known = self.believed()?;
        Some(Since { writes: known.writes, changes: known.changes })
    }

    pub(crate) fn holder(&self, certificate: &Fingerprint) -> Option<Arc<SubjectFile>> {
        let known = self.believed()?;
        Some(Arc::clone(&known.files.get(known.holders.get(certificate)?)?.file))
    }

    pub(crate) fn session(&self, key: &SessionKey) -> Option<Session> {
        self.believed()?.sessions.get(key).cloned()
    }

    pub(crate) fn keep_file(&self, loaded: &Loaded, since: Option<Since>) {
        if let Some(mut known) = self.unchanged(since) {
            known.put(loaded.clone());
        }
    }

    pub(crate) fn keep_session(&self, session: &Session, since: Option<Since>) {
        if let Some(mut known) = self.unchanged(since) {
            known.sessions.put(session.key, session.clone());
        }
    }

    /// A commit of this process is durable: the file it was decided on, if it is known, becomes the one after it.
    pub(crate) fn committed(&self, commit: &Commit) {
        let mut known = self.changing();
        let before = known.files.take(&commit.subject).filter(|before| before.file.version == commit.version);
        if let Some(Loaded { number, file }) = before {
            let SubjectFile { subject, organization, version, .. } = &*file;
            let after = SubjectFile {
                subject: subject.clone(),
                organization: organization.clone(),
                holding: commit.next.clone(),
                version: version + 1,
            };
            known.put(Loaded { number, file: Arc::new(after) });
        }
    }

    /// Something else about a subject was changed by this process.
    pub(crate) fn forget_file(&self, subject: &SubjectId) {
        self.changing().files.take(subject);
    }

    /// A subject's sessions may have been ended by this process.
    pub(crate) fn forget_sessions_of(&self, subject: &SubjectId) {
        self.changing().sessions.retain(|session| session.kind.subject() != Some(subject));
    }

    /// A session was put in the place of another one, or began, or ended.
    pub(crate) fn session_changed(&self, before: Option<&SessionKey>, after: Option<&Session>) {
        let mut known = self.changing();
        if let Some(before) = before {
            known.sessions.take(before);
        }
        if let Some(after) = after {
            known.sessions.put(after.key, after.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, unless others may have written since.
    fn believed(&self) -> Option<MutexGuard<'_, Known>> {
        let writes = self.outsiders.writes()?;
        let mut known = self.lock();
        if known.writes != writes {
            *known = Known { writes, changes: known.changes, ..Known::default() };
        }
        Some(known)
    }

    fn unchanged(&self, since: Option<Since>) -> Option<MutexGuard<'_, Known>> {
        let since = since?;
        let known = self.believed()?;
        (Since { writes: known.writes, changes: known.changes } == since).then_some(known)
    }

    fn changing(&self) -> MutexGuard<'_, Known> {
        let mut known = self.lock();
        known.changes += 1;
        known
    }
}

impl Known {
    fn put(&mut self, loaded: Loaded) {
        let id = &loaded.file.subject.id;
        for held in &loaded.file.holding.certificates {
            self.holders.put(held.fingerprint, id.clone());
        }
        self.files.put(id.clone(), loaded);
    }
}

/// A map that forgets what was put in long ago: two halves, of which the older one goes when the younger one is full.
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    const GENERATION: usize = 1024;

    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= Self::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.young.retain(|_, value| keep(value));
        self.old.retain(|_, value| keep(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_half_goes() {
        let mut numbers = Generations::default();
        for number in 0..=2 * Generations::<usize, usize>::GENERATION {
            numbers.put(number, number);
        }
        assert_eq!((numbers.get(&0), numbers.get(&1024), numbers.get(&2048)), (None, Some(&1024), Some(&2048)));
        numbers.put(1024, 7);
        assert_eq!((numbers.take(&1024), numbers.take(&1024)), (Some(7), None));
        numbers.retain(|number| *number != 2048);
        assert_eq!(numbers.get(&2048), None);
    }
}
