//! What many, or much, at once does not stop.

use std::{sync::mpsc, time::Duration};

use koshin_ra::{ChangeError, IssuanceError, Ra};
use koshin_renewal::Refused;
use koshin_types::{ProtectionLevel, RenewalId};
use tokio::time::timeout;

use crate::town::{NOW, Town, enrolled_for, key};

/// As long as a request with the smallest RSA key, and nothing that can be read.
const LARGE: [u8; 512] = [b'0'; 512];

#[test]
fn large_requests_are_bounded_and_hold_up_nobody() {
    // One thread for all heavy work, so that the test can occupy it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let town = Town::new().await;
        let old = town.enrolled("U-1", enrolled_for(8)).await;
        let access = town.sign_in("U-1", &old, NOW).await.access;
        let id = town.ra.start_renewal(&access, NOW).await.unwrap();
        let request = |octets: &[u8], id| {
            let (ra, access, octets) = (town.ra.clone(), access.clone(), octets.to_vec());
            async move {
                let asked = ra.request_certificate(&access, id, &octets, ProtectionLevel::File, NOW);
                timeout(Duration::from_secs(5), asked).await.expect("an answer without waiting")
            }
        };

        let (go, wait) = mpsc::channel::<()>();
        let occupied = tokio::task::spawn_blocking(move || wait.recv());
        let waiting: Vec<_> = (0..Ra::LARGE_REQUESTS)
            .map(|_| {
                let (ra, access) = (town.ra.clone(), access.clone());
                tokio::spawn(async move {
                    ra.request_certificate(&access, id, &LARGE, ProtectionLevel::File, NOW).await
                })
            })
            .collect();
        // Each of them comes as far as it can.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let full = request(&LARGE, id).await;
        assert!(matches!(full, Err(IssuanceError::Busy)), "{full:?}");
        // Nothing is computed for a renewal that takes no request, and an elliptic curve needs no turn.
        let foreign = RenewalId::new([1; 16]);
        let refused = request(&LARGE, foreign).await;
        assert!(
            matches!(refused, Err(IssuanceError::Change(ChangeError::Refused(Refused::NoRenewal { id })) ) if id == foreign)
        );
        let (bundle, _) = request(&key(), id).await.unwrap();

        go.send(()).unwrap();
        occupied.await.unwrap().unwrap();
        for one in waiting {
            assert!(matches!(one.await.unwrap(), Err(IssuanceError::Rejected(_))));
        }
        let access = town.ra.holder(&old).await.unwrap().unwrap();
        assert_eq!(access.holding.open_renewal().and_then(|open| open.state.serial()), Some(bundle.serial));
    });
}
