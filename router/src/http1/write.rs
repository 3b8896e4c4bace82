//! Small writers for heads: numbers, addresses, dates. No formatting machinery, since each
//! request needs several.

use std::io::Write as _;
use std::net::IpAddr;

/// Appends `name: value` and the end of the line, the name in lower case.
pub(crate) fn header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let from = out.len();
    out.extend_from_slice(name);
    out[from..].make_ascii_lowercase();
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number.
pub(crate) fn decimal(out: &mut Vec<u8>, number: u64) {
    digits(out, number, 10, b"0123456789");
}

/// Appends the size of a chunk, as it stands before the chunk.
pub(crate) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    digits(out, size as u64, 16, b"0123456789ABCDEF");
    out.extend_from_slice(b"\r\n");
}

fn digits(out: &mut Vec<u8>, mut number: u64, base: u64, letters: &[u8]) {
    let mut buffer = [0_u8; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = letters[usize::try_from(number % base).unwrap_or_default()];
        number /= base;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}

/// Appends an address without brackets.
pub(crate) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, part) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                decimal(out, part.into());
            }
        }
        // Writing to memory can't fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// The length of what [`date`] makes.
pub(crate) const DATE: usize = 29;

/// Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
pub(crate) fn date(seconds: u64) -> [u8; DATE] {
    const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let at = |number: u64| usize::try_from(number).unwrap_or_default();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from the first of March of a year that 400 divides, so that the leap day is a period's last.
    let since = days + 719_468;
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);

    let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
    let weekday = at(days % 7) * 3;
    text[..3].copy_from_slice(&DAYS[weekday..weekday + 3]);
    let month = at(month - 1) * 3;
    text[8..11].copy_from_slice(&MONTHS[month..month + 3]);
    let mut put = |from: usize, length: usize, mut number: u64| {
        for place in text[from..from + length].iter_mut().rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
    };
    put(5, 2, day);
    put(12, 4, year);
    put(17, 2, of_day / 3600);
    put(20, 2, of_day / 60 % 60);
    put(23, 2, of_day % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses() {
        let mut out = Vec::new();
        for number in [0, 7, 10, 1_290_000_000_677, u64::MAX] {
            out.clear();
            decimal(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
        out.clear();
        chunk_size(&mut out, 0xFA0);
        assert_eq!(out, b"FA0\r\n");
        for text in ["127.0.0.1", "255.10.0.99", "2001:db8::1"] {
            out.clear();
            address(&mut out, text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])));
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ] {
            assert_eq!(String::from_utf8_lossy(&date(seconds)), text);
        }
    }
}
