//! The serial numbers that the CA draws.

use koshin_issuance::new_serial;
use koshin_types::SerialNumber;

use crate::ca::{now, random};

/// I-70, with the numbers it names: 10⁶ of them, all drawn in the same millisecond, which is the worst case.
#[test]
fn invariant_70_a_million_serials_differ_and_their_bits_are_balanced() {
    const COUNT: usize = 1_000_000;
    let random = random();
    let mut drawn: Vec<SerialNumber> = (0..COUNT).map(|_| new_serial(now(), random.as_ref()).unwrap()).collect();
    // How often each of the 13 random octets had each value: the bits are counted from that.
    let mut values = [[0_u32; 256]; 13];
    for serial in &drawn {
        let octets = serial.as_be_bytes();
        assert_eq!((octets.len(), octets[0] & 0x80), (19, 0), "positive, and of one length");
        let octets: &[u8; 13] = octets.last_chunk().unwrap();
        for (counted, octet) in values.iter_mut().zip(octets) {
            counted[usize::from(*octet)] += 1;
        }
    }
    for (place, counted) in values.iter().enumerate() {
        for bit in 0..8 {
            let ones: u32 =
                counted.iter().zip(0_u8..=255).filter(|(_, value)| value >> bit & 1 == 1).map(|(n, _)| n).sum();
            let share = f64::from(ones) / 1e6;
            assert!((share - 0.5).abs() < 0.005, "bit {bit} of octet {place} is set in {share} of them");
        }
    }
    drawn.sort_unstable();
    assert!(drawn.is_sorted_by(|one, next| one < next), "one of them is there twice");
}
