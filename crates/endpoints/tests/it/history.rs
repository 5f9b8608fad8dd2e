//! What stands on which list, over any history (I-74), and what a reader sees while publishers are killed (F09).

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration as Wait,
};

use koshin_endpoints::{CrlSettings, MemoryRevocations, Place, Publication, Publisher, Revoked};
use koshin_issuance::{Ca, RevokedCertificate};
use koshin_types::SerialNumber;
use proptest::{collection::vec, prelude::*, sample::Index};
use time::{Duration, UtcDateTime};

use crate::{
    bench::{Issuing, now, openssl},
    publisher::{Rig, revoked},
};

/// A step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// So many seconds go by.
    Wait(u32),
    /// A certificate that ends in so many seconds, or has ended, is revoked.
    Revoke(i32),
    /// A list is made.
    Publish,
    /// The process is started anew.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..200_000_u32).prop_map(Step::Wait),
        3 => (-90_000..400_000_i32).prop_map(Step::Revoke),
        3 => Just(Step::Publish),
        1 => Just(Step::Restart),
    ]
}

/// What has to be true of every list, told in other words than those of the program.
#[derive(Default)]
struct Model {
    revoked: BTreeMap<SerialNumber, Revoked>,
    /// The first list on which an expired certificate stood.
    listed_expired: BTreeMap<SerialNumber, UtcDateTime>,
}

impl Model {
    fn judge(&mut self, at: UtcDateTime, entries: &[RevokedCertificate]) -> Result<(), TestCaseError> {
        let listed: BTreeMap<_, _> = entries.iter().map(|entry| (entry.serial, *entry)).collect();
        prop_assert_eq!(listed.len(), entries.len());
        for (serial, Revoked { entry, not_after }) in &self.revoked {
            match (listed.get(serial), self.listed_expired.get(serial)) {
                (Some(found), before) => {
                    let whole = entry.revoked_at.truncate_to_second();
                    prop_assert_eq!((found.revoked_at, found.reason), (whole, entry.reason), "as it always was");
                    // Twice at most, when the first time was within the minute in which the revocation was committed.
                    let settled = before.is_none_or(|before| *before < entry.revoked_at + Duration::MINUTE);
                    prop_assert!(settled, "{} was there after its expiry already", serial);
                }
                (None, before) => prop_assert!(before.is_some(), "{} vanished early", serial),
            }
            if listed.contains_key(serial) && *not_after < at.truncate_to_second() {
                self.listed_expired.insert(*serial, at);
            }
        }
        prop_assert!(listed.keys().all(|serial| self.revoked.contains_key(serial)));
        Ok(())
    }
}

async fn walk(steps: Vec<Step>, places: Vec<Index>) -> Result<(), TestCaseError> {
    let issuing = ISSUING.with(Arc::clone);
    let (ca, folder) = (Arc::new(issuing.ca()), tempfile::tempdir().unwrap());
    let source = Arc::new(MemoryRevocations::default());
    let start = || {
        let place = Place::new(folder.path(), "issuing.crl");
        let publication = Publication::new(Arc::new(now));
        Publisher::new(Arc::clone(&ca), Arc::clone(&source) as _, publication, place, CrlSettings::default())
    };
    let (mut publisher, mut model, mut at, mut number) = (start(), Model::default(), now(), 0);
    for (step, place) in steps.into_iter().zip(places.into_iter().cycle()) {
        match step {
            Step::Wait(seconds) => at += Duration::milliseconds(i64::from(seconds) * 1000 + 137),
            Step::Revoke(seconds) => {
                let low = u32::try_from(place.index(1_000_000)).unwrap();
                let not_after = (at + Duration::seconds(i64::from(seconds))).truncate_to_second();
                let one = revoked(low, at, not_after);
                source.revoke(one);
                model.revoked.entry(one.entry.serial).or_insert(one);
            }
            Step::Publish => {
                let edition = publisher.publish(at).await.unwrap();
                prop_assert!(edition.number > number && edition.this_update == at);
                number = edition.number;
                model.judge(at, &read(&ca, &folder.path().join("issuing.crl")))?;
            }
            Step::Restart => {
                publisher = start();
                prop_assert_eq!(publisher.resume().await.unwrap().map_or(0, |edition| edition.number), number);
            }
        }
    }
    Ok(())
}

fn read(ca: &Ca, path: &Path) -> Vec<RevokedCertificate> {
    let mut entries = Vec::new();
    ca.check_crl(fs::File::open(path).unwrap(), |entry| entries.push(entry)).unwrap();
    entries
}

thread_local! {
    static ISSUING: Arc<Issuing> = Arc::new(Issuing::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn invariant_74_an_entry_stays_until_it_was_listed_after_the_expiry(
        steps in vec(step(), 1..40),
        places in vec(any::<Index>(), 40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(walk(steps, places))?;
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// F09: a publisher is killed in the middle again and again; whoever fetches sees the old list or the new one, whole.
#[test]
fn a_reader_never_sees_half_a_list() {
    let (issuing, folder) = (Issuing::new(), tempfile::tempdir().unwrap());
    let (certificate, key, files) = ("ca.der", "ca.pk8", "files").into_paths(folder.path());
    fs::write(&certificate, &issuing.certificate).unwrap();
    fs::write(&key, &issuing.key).unwrap();
    fs::create_dir(&files).unwrap();
    let (list, ca, done) = (Path::new(&files).join("issuing.crl"), issuing.ca(), Arc::new(AtomicBool::new(false)));
    let example = std::env::current_exe().unwrap();
    let example = example.parent().and_then(Path::parent).unwrap().join("examples/publish");
    assert!(example.exists(), "`cargo test -p koshin-endpoints` without `--test` builds the example `publish`, too");
    let start = || {
        let arguments = [&certificate, &key, &files, "3000"];
        let child = Command::new(&example).args(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        Killed(child.unwrap())
    };
    let stop = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let (mut newest, mut fetches, mut lists) = (0, 0, 0);
        while !stop.load(Ordering::Acquire) {
            let Ok(file) = fs::File::open(&list) else {
                assert_eq!(newest, 0, "the list is gone");
                continue;
            };
            let checked = ca.check_crl(file, |_| {}).unwrap();
            assert_eq!(checked.entries, 3000);
            let number = checked.edition.number;
            assert!(number >= newest, "{number} after {newest}");
            lists += usize::from(number > newest);
            (newest, fetches) = (number, fetches + 1);
        }
        (fetches, lists)
    });
    let mut left_behind = 0;
    for round in 0..20_u64 {
        let mut publisher = start();
        let mut lines = BufReader::new(publisher.0.stdout.take().unwrap()).lines();
        // Running, and then anywhere in the middle of one of the next lists.
        lines.next().unwrap().unwrap();
        std::thread::sleep(Wait::from_millis(round * 7 % 60));
        drop(publisher);
        left_behind += fs::read_dir(&files).unwrap().count() - 1;
    }
    done.store(true, Ordering::Release);
    let (fetches, lists) = reader.join().unwrap();
    // However slow the machine is: some lists were read, and more than one of them.
    assert!(fetches >= lists && lists > 1, "{fetches} fetches of {lists} lists");
    assert!(left_behind > 0, "no process was killed while it wrote, so nothing was tried");
    let mut final_one = start();
    BufReader::new(final_one.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    drop(final_one);
    assert!(fs::read_dir(&files).unwrap().count() <= 3, "a start clears away what was left behind");
}

trait IntoPaths {
    fn into_paths(self, folder: &Path) -> (String, String, String);
}

impl IntoPaths for (&str, &str, &str) {
    fn into_paths(self, folder: &Path) -> (String, String, String) {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        (path(self.0), path(self.1), path(self.2))
    }
}

#[tokio::test]
async fn openssl_verifies_what_was_published() {
    let rig = Rig::new();
    for count in [0, 2000] {
        rig.revoke_many(count);
        rig.publisher.publish(now() + Duration::MINUTE).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (trust, list, _) = ("trust.pem", "issuing.crl", "").into_paths(folder.path());
        fs::write(&trust, rig.issuing.trust()).unwrap();
        fs::write(&list, rig.file()).unwrap();
        let common = ["crl", "-inform", "DER", "-in", &list, "-noout"];
        let (_, verified) = openssl(&[&common[..], &["-verify", "-CAfile", &trust]].concat());
        assert!(verified.contains("verify OK"), "{verified}");
        let (good, text) = openssl(&[&common[..], &["-text"]].concat());
        assert!(good && text.matches("Serial Number").count() == count as usize, "{count}");
        assert!(!text.contains("Issuing Distribution Point"), "a full list");
    }
}
