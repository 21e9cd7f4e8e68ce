//! The same stream in each coding, as other encoders write it: flushed behind each event.

use std::io::Write;

use super::super::{Counted, Framing, Shown};
use super::*;
use crate::domain::usage::Usage;
use crate::meter::Api;

const GZIP: &str = "\
    1f8b0800000000000203148c410a02311004effb0ae9735cdc939017f8071189939144931971674158f277936353d5158305\
    7fd891233ce8b8c0411f2f261b33059b49eba7b0659599d226ef2ed09783713f2c6787aa914b97eb004933f10a7fed4189fc\
    833f39746e017e07a918cb285fb81445737866c96bbaf7e0aa022f5b29edd6a6e90f0000ffff4a1910672994c7941a18a499\
    15e5a4e0731c000000ffffa291e36275944a8b13d353416e2a28021a51125f929f9d9a0794b304aa839b09173534d2512ac9\
    2f49cc818b1819d602dd07000000ffff82b82fdac5dfcf35968b0b000000ffff0300903cd762e2010000\
";
const ZLIB: &str = "\
    78da148c410a02311004effb0ae9735cdc939017f8071189939144931971674158f277936353d51583057fd891233ce8b8c0\
    411f2f261b33059b49eba7b0659599d226ef2ed09783713f2c6787aa914b97eb004933f10a7fed4189fc833f39746e017e07\
    a918cb285fb81445737866c96bbaf7e0aa022f5b29edd6a6e90f0000ffff4a1910672994c7941a18a49915e5a4e0731c0000\
    00ffffa291e36275944a8b13d353416e2a28021a51125f929f9d9a0794b304aa839b09173534d2512ac92f49cc818b1819d6\
    02dd07000000ffff82b82fdac5dfcf35968b0b000000ffff03002d789d98\
";
const RAW: &str = "\
    148c410a02311004effb0ae9735cdc939017f8071189939144931971674158f277936353d51583057fd891233ce8b8c0411f\
    2f261b33059b49eba7b0659599d226ef2ed09783713f2c6787aa914b97eb004933f10a7fed4189fc833f39746e017e07a918\
    cb285fb81445737866c96bbaf7e0aa022f5b29edd6a6e90f0000ffff4a1910672994c7941a18a49915e5a4e0731c000000ff\
    ffa291e36275944a8b13d353416e2a28021a51125f929f9d9a0794b304aa839b09173534d2512ac92f49cc818b1819d602dd\
    07000000ffff82b82fdac5dfcf35968b0b000000ffff0300\
";
const BROTLI: &str = "\
    034b0000042237f518d59c860ed5e485aaf0630d45d0c9851800770ea4b405a59249d216e8c6e0a10b6250db1840964f3ccb\
    dc21b42642e30a90e4547f3e3db0cee7e1b7d37fac68da5c48146bf6b3eb3784bdc8a6736efbd753cba48d849a3b1988c51e\
    6742f22202a7d94f2d7d0804aaa45cee943200e00400409c72a4014619852d3a7dfb5e4405165aa8c9781f59ed043400f804\
    00406c799ee0f34b5991770175ebb6691e70d16f4c4871f49848b031e658ad82968f280947909e7b7a7e893e1ec2895f2e56\
    238c601ba6bb22680008646174613a205b444f4e455d0a0a03\
";
const ZSTD: &str = "\
    28b52ffd0040ac030072491c1a706bdadda5a541653dfd4968b91941e0d7f361d4765e0200f498c7f1181ed566efcb0ccae5\
    a098b52b717bceaa49f8bd377b19efdc516ba69be0dec8b4eb4ee1ce242e5678bbf2bb6662e53648ee291be582b72fb65188\
    2caf4e65288c482385bf37a602c1b72701fc3dad3b80438d5200ac00005820775c7530306636726c64020020637c6a521304\
    ec0100e402645d2c227573616765223a7b2270726f6d70745f746f6b656e73223a392c2231322c22746f74616c32317d7d0a\
    0a040035cbe514e022dd7c267005700000646174613a205b444f4e455d0a0a010000\
";
const ZSTD_CHECKED: &str = "\
    28b52ffd0440ac030072491c1a706bdadda5a541653dfd4968b91941e0d7f361d4765e0200f498c7f1181ed566efcb0ccae5\
    a098b52b717bceaa49f8bd377b19efdc516ba69be0dec8b4eb4ee1ce242e5678bbf2bb6662e53648ee291be582b72fb65188\
    2caf4e65288c482385bf37a602c1b72701fc3dad3b80438d5200ac00005820775c7530306636726c64020020637c6a521304\
    ec0100e402645d2c227573616765223a7b2270726f6d70745f746f6b656e73223a392c2231322c22746f74616c32317d7d0a\
    0a040035cbe514e022dd7c267005700000646174613a205b444f4e455d0a0a010000a94b1ace\
";
const BROTLI_BOMB: &str = "\
    cbffff3f002400e2b14072effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf7\
    7ffcffff034002200e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfb3ffeffff012001108705a07b\
    ff37\
";
const BROTLI_WIDE: &str = "\
    1f63000024f002b1403a\
";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn beside(coding: Coding) -> Beside {
    let setup = Setup {
        api: Api::OpenAiChat,
        framing: Framing::Sse,
        shown: Shown::Nothing,
        choices: 1,
        keep_words: false,
    };
    Beside::new(setup, coding)
}

fn all() -> [(&'static str, Coding, Vec<u8>); 6] {
    [
        ("gzip", Coding::Gzip, bytes(GZIP)),
        ("zlib", Coding::Deflate, bytes(ZLIB)),
        ("raw", Coding::Deflate, bytes(RAW)),
        ("br", Coding::Brotli, bytes(BROTLI)),
        ("zstd", Coding::Zstd, bytes(ZSTD)),
        ("zstd with a checksum", Coding::Zstd, bytes(ZSTD_CHECKED)),
    ]
}

#[test]
fn h16_whole_bodies_are_decoded_as_far_as_they_go() {
    let names = ["gzip", "deflate", "deflate", "br", "zstd", "zstd"];
    let plain = whole("gzip", &bytes(GZIP)).unwrap().into_owned();
    assert!(plain.starts_with(b"data: ") && plain.ends_with(b"data: [DONE]\n\n"));
    for (name, (what, _, body)) in names.into_iter().zip(all()) {
        assert_eq!(whole(name, &body).unwrap(), plain, "{what}");
        let half = whole(name, &body[..body.len() / 2]).unwrap_or_default();
        assert!(plain.starts_with(&half) && half.len() < plain.len(), "{what}");
    }
    assert_eq!(whole("", b"as it is").unwrap(), &b"as it is"[..]);
    assert_eq!(whole("gzip, br", b""), Err(Unreadable));
    assert_eq!(whole("br", &bytes(BROTLI_BOMB)), Err(Unreadable));
}

#[test]
fn h16_usage_is_read_in_every_coding_and_every_cut_into_frames() {
    for (what, coding, stream) in all() {
        for size in 1..=stream.len() {
            let mut beside = beside(coding);
            for frame in stream.chunks(size) {
                beside.read(frame).unwrap();
            }
            assert_eq!(beside.end(), Ok(true), "{what} in frames of {size}");
            let tally = beside.tally();
            assert_eq!(
                tally.exact(),
                Some(Usage::of(9, 12)),
                "{what} in frames of {size}"
            );
            assert_eq!(tally.delivered, Counted { bytes: 12, events: 2 });
            assert_eq!(beside.model().as_deref(), Some("m"));
        }
    }
}

#[test]
fn h16_what_was_flushed_is_known_at_once_and_zstd_at_the_end() {
    for (what, coding, stream) in all() {
        let mut beside = beside(coding);
        // Long before the usage.
        beside.read(&stream[..150]).unwrap();
        let text = Counted { bytes: 5, events: 1 };
        if coding == Coding::Zstd {
            assert_eq!(beside.tally().delivered, Counted::default());
        } else {
            assert!(beside.tally().delivered.bytes >= text.bytes, "{what}");
        }
        assert_eq!(beside.is_late(), coding == Coding::Zstd);
        assert_eq!((beside.end(), beside.end()), (Ok(false), Ok(false)), "{what}");
        assert!(beside.tally().delivered.bytes >= text.bytes, "{what}");
        assert_eq!(beside.tally().exact(), None);
    }
}

#[test]
fn h16_members_and_frames_may_follow_one_another() {
    for (coding, stream) in [(Coding::Gzip, bytes(GZIP)), (Coding::Zstd, bytes(ZSTD_CHECKED))] {
        for size in [1, 7, 1000] {
            let mut beside = beside(coding);
            for frame in stream.repeat(2).chunks(size) {
                beside.read(frame).unwrap();
            }
            assert_eq!(beside.end(), Ok(true));
            assert_eq!(beside.tally().delivered, Counted { bytes: 24, events: 4 });
        }
    }
}

#[test]
fn a_gzip_head_may_have_all_its_parts() {
    let plain = bytes(GZIP);
    let mut stream = vec![0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 3, 2, 0, 7, 7];
    stream.extend_from_slice(b"name\0comment\0\x01\x02");
    stream.extend_from_slice(&plain[10..]);
    for size in [1, 3, 11, 1000] {
        let mut beside = beside(Coding::Gzip);
        for frame in stream.chunks(size) {
            beside.read(frame).unwrap();
        }
        assert_eq!(beside.end(), Ok(true), "in frames of {size}");
    }
    let mut beside = beside(Coding::Gzip);
    stream.splice(10..12, [0xff, 0xff]);
    assert_eq!(beside.read(&stream), Ok(()));
    assert_eq!(beside.read(&[7; 5000]), Err(Unreadable));
}

#[test]
fn h16_what_cannot_be_decoded_says_so_and_stays_so() {
    for (what, coding, stream) in all() {
        if what == "raw" {
            continue;
        }
        let mut beside = beside(coding);
        let _ = beside.read(&[0xff; 40]);
        assert_eq!(beside.read(&[0xff; 40]), Err(Unreadable), "{what}");
        assert_eq!(beside.read(&stream), Err(Unreadable), "{what}");
        assert_eq!(beside.end(), Err(Unreadable), "{what}");
        assert_eq!(beside.tally(), Tally::default(), "{what}");
    }
    assert_eq!(beside(Coding::Brotli).read(&bytes(BROTLI_WIDE)), Err(Unreadable));
}

#[test]
fn h16_a_bomb_is_given_up_on() {
    let zeros = vec![0; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    // A window of 1 MiB; each block is one byte that is repeated.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3];
    for _ in 0..512 {
        zstd.extend_from_slice(&[2, 0, 16, b'x']);
    }
    for (coding, stream) in [
        (Coding::Gzip, gzip.finish().unwrap()),
        (Coding::Brotli, bytes(BROTLI_BOMB)),
        (Coding::Zstd, zstd),
    ] {
        let mut beside = beside(coding);
        let read = stream.chunks(1000).map(|frame| beside.read(frame));
        assert!(read.last().unwrap().is_err(), "{coding:?}");
        assert!(beside.meter.held() <= super::super::EVENT_MAX + BUFFER);
    }
}

#[test]
fn zstd_windows_are_bounded() {
    let head = |window: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, window << 3];
    assert_eq!(beside(Coding::Zstd).read(&head(13)), Ok(()));
    assert_eq!(beside(Coding::Zstd).read(&head(14)), Err(Unreadable));
}

#[test]
fn codings_have_names() {
    for (name, coding) in [
        (None, Ok(None)),
        (Some("identity"), Ok(None)),
        (Some(" GZIP "), Ok(Some(Coding::Gzip))),
        (Some("x-gzip"), Ok(Some(Coding::Gzip))),
        (Some("deflate"), Ok(Some(Coding::Deflate))),
        (Some("br"), Ok(Some(Coding::Brotli))),
        (Some("zstd"), Ok(Some(Coding::Zstd))),
        (Some("compress"), Err(Unreadable)),
        (Some("gzip, br"), Err(Unreadable)),
    ] {
        assert_eq!(Coding::of(name), coding, "{name:?}");
    }
}

#[test]
fn a13_half_an_event_says_nothing_when_the_answer_breaks_off() {
    let event = r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    write!(encoder, "data: {event}\n\ndata: {}", &event[..20]).unwrap();
    encoder.flush().unwrap();
    let mut beside = beside(Coding::Gzip);
    beside.read(encoder.get_ref()).unwrap();
    beside.close();
    let tally = beside.tally();
    assert_eq!(tally.delivered, Counted { bytes: 5, events: 1 });
    assert_eq!(tally.invalid, 0);
}
