//! When a certificate ends.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// More than any chain of certificates needs.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// When the first of the certificates of a file to end does so, in seconds since 1970; `None` where none can be read.
#[must_use]
pub fn certificates_end(path: &Path) -> Option<i64> {
    let mut pem = Vec::new();
    let file = File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut pem).ok()?;
    let all = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    all.filter_map(|certificate| ends(&certificate)).min()
}

/// `notAfter` of a certificate (RFC 5280, 4.1).
fn ends(der: &[u8]) -> Option<i64> {
    let (certificate, _) = value(der, 0x30)?;
    let (mut rest, _) = value(certificate, 0x30)?;
    // The version, where it is told.
    if rest.first() == Some(&0xa0) {
        rest = value(rest, 0xa0)?.1;
    }
    // Serial number, algorithm, issuer.
    for tag in [0x02, 0x30, 0x30] {
        rest = value(rest, tag)?.1;
    }
    let (validity, _) = value(rest, 0x30)?;
    let begin = *validity.first()?;
    let (_, not_after) = value(validity, begin)?;
    let tag = *not_after.first()?;
    let (text, _) = value(not_after, tag)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    match tag {
        // Two digits of the year, from 1950 on.
        0x17 => {
            let century = if text.get(..2)?.parse::<u32>().ok()? < 50 {
                "20"
            } else {
                "19"
            };
            seconds(&format!("{century}{text}"))
        }
        0x18 => seconds(text),
        _ => None,
    }
}

/// The value of an element with this tag, and what stands behind it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let octets = length - 0x80;
        if octets > 4 {
            return None;
        }
        let (told, behind) = rest.split_at_checked(octets)?;
        length = told
            .iter()
            .fold(0, |length, octet| length << 8 | usize::from(*octet));
        rest = behind;
    }
    rest.split_at_checked(length)
}

/// `20261128093000` as seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> String {
        let mut params =
            rcgen::CertificateParams::new(vec!["desk.example".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 3, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").pem()
    }

    #[test]
    fn f38_the_first_of_a_chain_to_end_is_found_in_both_forms_of_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cert.pem");
        // Years from 2050 on are written in another form.
        for (chain, ends) in [
            (vec![2027], "2027-03-01T00:00:00Z"),
            (vec![2061], "2061-03-01T00:00:00Z"),
            (vec![2061, 2028], "2028-03-01T00:00:00Z"),
        ] {
            let pem: String = chain.into_iter().map(made).collect();
            std::fs::write(&path, pem).expect("written");
            let wanted: jiff::Timestamp = ends.parse().expect("a time");
            assert_eq!(certificates_end(&path), Some(wanted.as_second()), "{ends}");
        }
        std::fs::write(&path, "none").expect("written");
        assert_eq!(certificates_end(&path), None);
        assert_eq!(certificates_end(&folder.path().join("missing")), None);
    }

    #[test]
    fn damaged_certificates_are_not_read_and_nothing_panics() {
        let pem = made(2027);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        for cut in 0..der.len() {
            assert!(ends(&der[..cut]).is_none());
            let mut damaged = der.to_vec();
            damaged[cut] ^= 0xff;
            let _ = ends(&damaged);
        }
    }
}
