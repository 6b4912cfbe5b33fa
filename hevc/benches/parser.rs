//! How fast `hevc` finds NAL units and parses headers, beside other parsers of crates.io.
//!
//! ```text
//! cargo bench -p hevc-benches
//! HEVC_BENCH_STREAM=film.hevc cargo bench -p hevc-benches -- film
//! ```
//!
//! All read the same bytes. What each is asked for is said where it is; none is asked for less than what its interface
//! gives a program that wants NAL units, or the headers of all slice segments.

#![expect(missing_docs, reason = "criterion_group makes a public function without")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Cursor;

use bitstream::{AnnexBReader, split_annex_b};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cros_codecs::codec::h265::parser as cros;
use hevc::{Parser, Unit};
use hevc_benches::{Input, inputs};
use hevc_parser::HevcParser;
use rusty_h265 as rusty;

/// Bytes that a stream is sent in.
const CHUNK: usize = 64 << 10;

/// How much of a stream a parser understood, so that none is praised for giving up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    parameter_sets: usize,
    slices: usize,
}

/// Reads a whole stream.
type Parse<'a> = &'a dyn Fn(&[u8]) -> Found;

/// Every parameter set and slice segment header, activated, with order counts and reference picture sets.
fn ours<'a>(nals: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut parser = Parser::new();
    let mut found = Found::default();
    for nal in nals {
        match parser.parse(nal) {
            Ok(Unit::Slice(slice)) => {
                black_box(&slice);
                found.slices += 1;
            }
            Ok(Unit::Vps(_) | Unit::Sps(_) | Unit::Pps(_)) => found.parameter_sets += 1,
            _ => {}
        }
    }
    found
}

/// Every parameter set and slice segment header.
fn cros(stream: &[u8]) -> Found {
    let mut parser = cros::Parser::default();
    let mut found = Found::default();
    let mut cursor = Cursor::new(stream);
    while let Ok(nalu) = cros::Nalu::next(&mut cursor) {
        use cros::NaluType::{PpsNut, SpsNut, VpsNut};
        let parsed = match nalu.header.type_ {
            VpsNut => parser.parse_vps(&nalu).is_ok(),
            SpsNut => parser.parse_sps(&nalu).is_ok(),
            PpsNut => parser.parse_pps(&nalu).is_ok(),
            other if other as u32 <= cros::NaluType::CraNut as u32 => {
                found.slices += usize::from(parser.parse_slice_header(nalu).map(black_box).is_ok());
                continue;
            }
            _ => continue,
        };
        found.parameter_sets += usize::from(parsed);
    }
    found
}

/// Every parameter set and slice segment header. Its headers are read from the RBSP of the whole NAL unit, slice data
/// included.
fn rusty<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Found {
    let mut found = Found::default();
    let (mut sets_of_sequences, mut sets_of_pictures) = (HashMap::new(), HashMap::new());
    let mut independent = None;
    for nal in nals {
        let Some(header) = rusty::nal::NalHeader::parse(nal) else { continue };
        let rbsp = || rusty::nal::unescape(&nal[2..]).data;
        use rusty::nal::NalType::{Pps, Sps, Vps};
        match header.nal_type {
            Vps => found.parameter_sets += usize::from(rusty::ps::parse_vps(&rbsp()).is_ok()),
            Sps => {
                if let Ok(sps) = rusty::ps::parse_sps(&rbsp()) {
                    sets_of_sequences.insert(sps.id, sps);
                    found.parameter_sets += 1;
                }
            }
            Pps => {
                if let Ok(pps) = rusty::ps::parse_pps(&rbsp()) {
                    sets_of_pictures.insert(pps.id, pps);
                    found.parameter_sets += 1;
                }
            }
            other if other.id() <= rusty::nal::NalType::CraNut.id() => {
                let rbsp = rbsp();
                let lookup = |id: u8| {
                    let pps = sets_of_pictures.get(&id)?;
                    Some((sets_of_sequences.get(&pps.sps_id)?, pps))
                };
                let mut reader = rusty::bits::BitReader::new(&rbsp);
                let slice =
                    rusty::slice::parse_slice_header(&mut reader, &header, &lookup, independent.as_ref());
                if let Ok(slice) = slice {
                    found.slices += 1;
                    independent = Some(black_box(slice));
                }
            }
            _ => {}
        }
    }
    found
}

/// Parameter sets, and of slice segment headers what gives the order of pictures: the first dozen elements.
fn quietvoid(stream: &[u8]) -> Found {
    let mut parser = HevcParser::default();
    let mut offsets = Vec::new();
    parser.get_offsets(stream, &mut offsets);
    let Some(&last) = offsets.last() else { return Found::default() };
    let Ok(nals) = parser.split_nals(stream, &offsets, last, true) else { return Found::default() };
    parser.finish();
    let sets = nals.iter().filter(|nal| (32..=34).contains(&nal.nal_type)).count();
    let slices = nals.iter().filter(|nal| nal.nal_type <= 21).count();
    Found { parameter_sets: sets, slices }
}

/// Pictures by our parser, which is the unit of the results.
fn pictures(stream: &[u8]) -> u64 {
    let mut parser = Parser::new();
    let units = split_annex_b(stream).filter(|nal| match parser.parse(nal) {
        Ok(Unit::Slice(slice)) => slice.picture.is_some(),
        _ => false,
    });
    units.count() as u64
}

/// NAL units of a byte stream, in bytes a second.
fn nal_units(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("NAL units");
    for Input { name, data } in &inputs() {
        group.throughput(Throughput::Bytes(data.len() as u64));
        let mut bench = |what: &str, count: &dyn Fn() -> usize| {
            group.bench_function(BenchmarkId::new(what, name), |bencher| bencher.iter(count));
        };
        bench("hevc, at once", &|| split_annex_b(black_box(data)).count());
        bench("hevc, in pieces", &|| {
            let mut reader = AnnexBReader::new();
            let mut count = 0;
            for chunk in black_box(data).chunks(CHUNK) {
                let _ = reader.feed(chunk);
                while reader.next_nal().is_some() {
                    count += 1;
                }
            }
            reader.finish();
            while reader.next_nal().is_some() {
                count += 1;
            }
            count
        });
        // No more than the search: what a splitter can reach.
        bench("memchr, start codes", &|| memchr::memmem::find_iter(black_box(data), &[0, 0, 1]).count());
        bench("rusty_h265", &|| rusty::nal::split_annex_b(black_box(data)).len());
        bench("cros-codecs", &|| {
            let mut cursor = Cursor::new(black_box(&data[..]));
            std::iter::from_fn(|| cros::Nalu::next(&mut cursor).ok()).count()
        });
        // Offsets alone.
        bench("hevc_parser", &|| {
            let mut offsets = Vec::new();
            HevcParser::default().get_offsets(black_box(data), &mut offsets);
            offsets.len()
        });
    }
    group.finish();
}

/// All headers of a byte stream, for each picture.
fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("headers");
    for Input { name, data } in &inputs() {
        group.throughput(Throughput::Elements(pictures(data).max(1)));
        let parsers: [(&str, Parse<'_>); 4] = [
            ("hevc", &|data| ours(split_annex_b(data))),
            ("cros-codecs", &cros),
            ("rusty_h265", &|data| rusty(rusty::nal::split_annex_b(data))),
            ("hevc_parser (part of them)", &quietvoid),
        ];
        let expected = ours(split_annex_b(data));
        for (what, parse) in parsers {
            let found = parse(data);
            if found != expected {
                eprintln!("{what} finds {found:?} in {name}, hevc {expected:?}: left out");
                continue;
            }
            group.bench_function(BenchmarkId::new(what, name), |bencher| {
                bencher.iter(|| parse(black_box(data)))
            });
        }
        // NAL units as a container gives them.
        let nals: Vec<&[u8]> = split_annex_b(data).collect();
        group.bench_function(BenchmarkId::new("hevc, split before", name), |bencher| {
            bencher.iter(|| ours(black_box(&nals).iter().copied()));
        });
    }
    group.finish();
}

criterion_group!(benches, nal_units, headers);
criterion_main!(benches);
