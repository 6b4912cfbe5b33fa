//! Damaged files: no panic, and work and memory bounded by the size of the file.
//!
//! Each file is changed 5,000 times; `--nocapture` shows what came of it.

use std::time::{Duration, Instant};

use containers::Container;

use crate::common;

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize) % limit.max(1)
    }

    /// A place in a file of `size` bytes: anywhere, or near the beginning or the end, where structure is dense.
    fn place(&mut self, size: usize) -> usize {
        let near = self.below(size.min(1500));
        match self.below(4) {
            0 | 1 => self.below(size),
            2 => near,
            _ => size - 1 - near,
        }
    }

    fn range(&mut self, size: usize) -> std::ops::Range<usize> {
        let from = self.place(size);
        let longest = if self.below(2) == 0 { 16 } else { 600 };
        from..(from + 1 + self.below(longest)).min(size)
    }
}

fn mutate(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(2) {
        if bytes.is_empty() {
            break;
        }
        match random.below(8) {
            0..=3 => {
                for _ in 0..1 + random.below(8) {
                    let at = random.place(bytes.len());
                    let values =
                        [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1 << random.below(8), random.below(256) as u8];
                    bytes[at] = values[random.below(values.len())];
                }
            }
            4 => bytes.truncate(random.place(bytes.len())),
            5 => {
                let range = random.range(bytes.len());
                let at = random.place(bytes.len());
                let copy = bytes[range].to_vec();
                bytes.splice(at..at, copy);
            }
            6 => {
                let (one, other) = (random.range(bytes.len()), random.range(bytes.len()));
                for (a, b) in one.zip(other) {
                    bytes.swap(a, b);
                }
            }
            _ => {
                let range = random.range(bytes.len());
                bytes.drain(range);
            }
        }
    }
    bytes
}

#[derive(Debug, Default)]
struct Report {
    files: usize,
    opened: usize,
    lists: usize,
    refused: usize,
    packets: usize,
    longest: Duration,
    /// Bytes read to open and list, in percent of a file, and for how many lists.
    most_read: u64,
}

/// Does everything that there is to do with a file.
fn use_all(bytes: Vec<u8>, at: &str, report: &mut Report) {
    let begun = Instant::now();
    let size = bytes.len() as u64;
    report.files += 1;
    if let Ok(mut container) = Container::from_bytes(bytes) {
        report.opened += 1;
        assert_eq!(container.size(), size, "{at}");
        let _ = (format!("{container:?}"), container.default_track());
        let mut buffer = Vec::new();
        for index in 0..container.tracks().len() {
            let _ = (container.tracks()[index].rotation(), container.format().name());
            let before = container.bytes_read();
            let packets = container.packets(index);
            let read = container.bytes_read() - before;
            // What lies apart is read in pieces of 4 KiB, and what was damaged twice.
            assert!(read <= 3 * size + (64 << 10), "{at}: {read} bytes read of {size}");
            report.most_read = report.most_read.max(100 * read / size.max(1));
            let Ok(packets) = packets else {
                report.refused += 1;
                continue;
            };
            report.lists += 1;
            report.packets += packets.len();
            let sum: u64 = packets.iter().map(|packet| packet.size).sum();
            assert!(sum <= 4 * size, "{at}: packets of {sum} bytes in {size}");
            assert!(packets.len() as u64 <= size, "{at}: {} packets in {size} bytes", packets.len());
            for packet in packets.iter().take(100).chain(packets.iter().rev().take(20)) {
                let before = container.bytes_read();
                let done = container.read(index, packet, &mut buffer);
                assert!(container.bytes_read() - before <= packet.size + 600_000, "{at}: {packet:?}");
                // What frames of Matroska have stripped is put back.
                assert!(done.is_err() || buffer.len() as u64 <= packet.size + 256, "{at}: {packet:?}");
            }
        }
        assert!(container.notes().len() <= 64, "{at}");
    }
    report.longest = report.longest.max(begun.elapsed());
}

fn run(times: u64) -> Report {
    let mut report = Report::default();
    let names = common::FILES.iter().copied().chain(["stream.h264", "still.heic"]);
    for (number, name) in names.enumerate() {
        let file = common::bytes(name);
        for seed in 0..times {
            let mut random = Random::new(seed * 1000 + number as u64);
            use_all(mutate(&file, &mut random), &format!("{name}, seed {seed}"), &mut report);
        }
    }
    report
}

#[test]
fn damaged_files_are_harmless() {
    let report = run(5000);
    println!("{report:?}");
    // Else it would be no test.
    assert!(report.opened > report.files / 2, "{report:?}");
    assert!(report.lists > report.files / 4 && report.refused > 0, "{report:?}");
}

/// Each file, cut at each place.
#[test]
fn files_may_end_anywhere() {
    let mut report = Report::default();
    for name in ["plain.mp4", "traf.mp4", "matroska.mkv", "transport.ts", "stream.hevc"] {
        let file = common::bytes(name);
        for end in (0..file.len()).step_by(7) {
            use_all(file[..end].to_vec(), &format!("{name}, {end} bytes"), &mut report);
        }
    }
    assert!(report.opened > 1000, "{report:?}");
}
