//! What a frame holds, packed: steps that were taken together repeat each other, and a delivery the message that it
//! became.
//!
//! ```text
//! 0xC1 | bytes when unpacked u32 | bytes of the block u32 | LZ4 block
//! ```
//! or the step as MessagePack, which never begins with 0xC1. Zeros may follow either.

use std::borrow::Cow;

use super::frame::LONGEST_PAYLOAD_BYTES;

/// MessagePack leaves this byte out.
const PACKED: u8 = 0xC1;
/// Bytes before the block.
const PREFIX_BYTES: usize = 9;
/// Shorter ones stay as they are.
const SHORTEST_BYTES: usize = 256;

/// Appends `plain`, packed where that is shorter.
pub(super) fn pack(plain: &[u8], to: &mut Vec<u8>) {
    let start = to.len();
    if plain.len() < SHORTEST_BYTES || !packed_into(plain, to) {
        to.truncate(start);
        to.extend_from_slice(plain);
    }
}

/// Appends `plain`, packed; says whether that is shorter.
fn packed_into(plain: &[u8], to: &mut Vec<u8>) -> bool {
    let start = to.len();
    let block = start + PREFIX_BYTES;
    let most = lz4_flex::block::get_maximum_output_size(plain.len());
    to.resize(block + most, 0);
    let Ok(packed) = lz4_flex::compress_into(plain, &mut to[block..]) else {
        return false;
    };
    let (Ok(bytes), Ok(block_bytes)) = (u32::try_from(plain.len()), u32::try_from(packed)) else {
        return false;
    };
    to[start] = PACKED;
    to[start + 1..start + 5].copy_from_slice(&bytes.to_be_bytes());
    to[start + 5..block].copy_from_slice(&block_bytes.to_be_bytes());
    to.truncate(block + packed);
    packed + PREFIX_BYTES < plain.len()
}

/// What was packed; the error says in words why it cannot be read.
pub(super) fn unpack(payload: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if payload.first() != Some(&PACKED) {
        return Ok(Cow::Borrowed(payload));
    }
    let number = |at: usize| {
        let bytes = payload.get(at..at + 4)?.iter();
        Some(bytes.fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let block = |bytes: usize| payload.get(PREFIX_BYTES..PREFIX_BYTES.checked_add(bytes)?);
    let (bytes, block) = number(1)
        .zip(number(5).and_then(block))
        .ok_or("it is packed, and too short")?;
    if bytes > LONGEST_PAYLOAD_BYTES {
        return Err(format!("it would have {bytes} bytes"));
    }
    lz4_flex::decompress(block, bytes)
        .map(Cow::Owned)
        .map_err(|error| format!("it cannot be unpacked: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut packed = b"before".to_vec();
        pack(plain, &mut packed);
        packed.split_off(6)
    }

    #[test]
    fn what_repeats_itself_takes_less_room() {
        let plain = b"a customer of the shop writes ".repeat(50);
        let packed = packed(&plain);
        assert!(packed.len() * 10 < plain.len(), "{}", packed.len());
        assert_eq!(unpack(&packed).unwrap(), plain);
    }

    #[test]
    fn what_gets_no_shorter_stays_as_it_is() {
        let noise: Vec<u8> = (0..1_000_u32)
            .flat_map(|number| crc32fast::hash(&number.to_be_bytes()).to_be_bytes())
            .collect();
        assert_eq!(packed(&noise), noise);
        assert_eq!(packed(b"short"), b"short");
    }

    #[test]
    fn damage_is_an_error_and_takes_no_memory() {
        let packed = packed(&b"a customer of the shop writes ".repeat(50));
        assert!(unpack(&packed[..packed.len() - 3]).is_err());
        assert!(unpack(&packed[..3]).is_err());
        let mut huge = packed;
        huge[1] = 0xFF;
        assert!(unpack(&huge).unwrap_err().contains("bytes"));
    }

    proptest! {
        #[test]
        fn anything_comes_back(mut plain: Vec<u8>, again in 0_usize..6) {
            // A step begins with an array.
            plain.insert(0, 0x97);
            let plain = plain.repeat(again + 1);
            let packed = packed(&plain);
            prop_assert!(packed.len() <= plain.len());
            prop_assert_eq!(&*unpack(&packed).unwrap(), &*plain);
            if packed[0] == PACKED {
                let padded = [&*packed, &[0; 9]].concat();
                prop_assert_eq!(&*unpack(&padded).unwrap(), &*plain);
            }
        }

        #[test]
        fn nothing_panics(payload: Vec<u8>) {
            let _ = unpack(&payload);
            let _ = unpack(&[&[PACKED, 0, 0, 1, 0, 0, 0, 0], &*payload].concat());
        }
    }
}
