//! The files that were read lately.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use koshin_types::SubjectId;

use crate::file::Loaded;

/// The files that were read lately, so that a commit knows what it was decided on without reading it again. What a
/// version holds never changes, and the writer compares the version, so an old entry can only cost a second read.
#[derive(Default)]
pub(crate) struct Recent {
    generations: Mutex<[HashMap<SubjectId, Loaded>; 2]>,
}

impl Recent {
    const GENERATION: usize = 1024;

    pub(crate) fn put(&self, loaded: &Loaded) {
        let [young, old] = &mut *self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if young.len() >= Self::GENERATION {
            *old = std::mem::take(young);
        }
        young.insert(loaded.file.subject.id.clone(), loaded.clone());
    }

    pub(crate) fn get(&self, id: &SubjectId, version: u64) -> Option<Loaded> {
        let [young, old] = &*self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let known = [young, old].into_iter().filter_map(|generation| generation.get(id));
        known.into_iter().find(|loaded| loaded.file.version == version).cloned()
    }
}
