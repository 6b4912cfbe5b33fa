//! Tensors of `nvdec-decode`, as a user makes them, on the model.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nvdec::tensor::{TensorPool, TensorSpec};
use nvdec::{Codec, Decoder, DecoderOptions, DeviceChoice, Units};

const DECODE: &str = env!("CARGO_BIN_EXE_nvdec-decode");
const PROBE: &str = env!("CARGO_BIN_EXE_nvdec-probe");
/// 416x240, 16 pictures.
const CLIP: &str = "x_wpp.hevc";

fn clip(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join(name).to_str().unwrap().to_owned()
}

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).env("NVDEC_DEVICE", "emulated").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed by a signal")
}

/// Runs, and wants it to end well.
fn decode(args: &[&str]) -> Output {
    let output = run(DECODE, args);
    assert_eq!(code(&output), 0, "{args:?}: {}", text(&output.stderr));
    output
}

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("nvdec-tensors-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The header of a NumPy file, and its elements.
fn array(path: &str) -> (String, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let behind = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(behind.is_multiple_of(64));
    (text(&bytes[10..behind]).trim_end().to_owned(), bytes[behind..].to_vec())
}

fn header(kind: &str, shape: &str) -> String {
    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}")
}

/// What the library makes of the clip.
fn expected(spec: &str) -> Vec<u8> {
    let context = nvdec::Context::open(DeviceChoice::Emulated).unwrap();
    let stream = std::fs::read(clip(CLIP)).unwrap();
    let decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let pool = TensorPool::new(&context, &spec.parse::<TensorSpec>().unwrap(), 16, 2).unwrap();
    let tensors = decoder.into_frames(Units::new(&stream)).into_tensors(&pool);
    tensors.flat_map(|tensor| tensor.unwrap().to_host().unwrap()).collect()
}

#[test]
fn one_array_of_all_pictures() {
    let folder = Folder::new("one");
    let out = folder.file("x.npy");
    for (spec, kind, shape) in [
        ("", "|u1", "16, 3, 240, 416"),
        ("size=64x48,dtype=f16,mean=0.5", "<f2", "16, 3, 48, 64"),
        ("size=64x48,dtype=bf16,layout=nhwc,channels=grey", "<u2", "16, 48, 64, 1"),
        ("size=20x10,dtype=f32", "<f4", "16, 3, 10, 20"),
    ] {
        let output = decode(&[&clip(CLIP), "--tensor", spec, "-o", &out, "--batch", "5", "--json"]);
        let (said, elements) = array(&out);
        assert_eq!(said, header(kind, shape));
        assert!(elements == expected(spec), "{spec}");
        let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&stats["pictures"], &stats["integrity"]["exact"]), (&16.into(), &16.into()));
        assert!(stats["tensor_memory"].as_u64().unwrap() >= 2 << 20);
    }
    let output = decode(&[&clip(CLIP), "--tensor", "size=8x8", "-o", &out, "-n", "3", "--stats"]);
    assert!(text(&output.stderr).contains("tensors         2.0 MiB"), "{}", text(&output.stderr));
    assert_eq!(array(&out).0, header("|u1", "3, 3, 8, 8"));
    assert_eq!(folder.names(), ["x.npy"]);
}

#[test]
fn an_array_for_each_batch() {
    let folder = Folder::new("batches");
    let pattern = folder.file("b-%02d.npy");
    decode(&[&clip(CLIP), "--tensor", "size=16x16", "--batch", "6", "-o", &pattern]);
    assert_eq!(folder.names(), ["b-00.npy", "b-01.npy", "b-02.npy"]);
    let all: Vec<_> = folder.names().iter().map(|name| array(&folder.file(name))).collect();
    let shapes: Vec<_> = all.iter().map(|(header, _)| header.as_str()).collect();
    let shape = |pictures: &str| header("|u1", &format!("{pictures}, 3, 16, 16"));
    assert_eq!(shapes, [shape("6"), shape("6"), shape("4")]);
    let elements: Vec<u8> = all.into_iter().flat_map(|(_, elements)| elements).collect();
    assert!(elements == expected("size=16x16"));
}

#[test]
fn sums_of_each_picture() {
    let output = decode(&[&clip(CLIP), "--tensor", "size=16x16,dtype=f16"]);
    let (comments, sums): (Vec<_>, Vec<_>) =
        text(&output.stdout).lines().partition(|line| line.starts_with('#'));
    for line in ["#spec: size=16x16,dtype=f16", "#shape: 3x16x16 nchw f16", "#hash: MD5"] {
        assert!(comments.contains(&line), "{comments:?}");
    }
    assert!(comments.last().unwrap().starts_with("#integrity: exact 16, "));
    let all = expected("size=16x16,dtype=f16");
    let right: Vec<_> = all.chunks(1536).map(nvdec_tools::output::framemd5::md5_hex).collect();
    let said: Vec<_> = sums.iter().map(|line| line.rsplit(", ").next().unwrap()).collect();
    assert_eq!(said, right);
    let output = decode(&[&clip(CLIP), "--tensor", "size=16x16", "-f", "null", "--batch", "4", "--stats"]);
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("pictures        16 on "));
}

#[test]
fn what_cannot_be_is_said() {
    let folder = Folder::new("refused");
    let input = folder.file("two_sizes.hevc");
    let streams = ["x_wpp.hevc", "x_size_202x150.hevc"].map(|name| std::fs::read(clip(name)).unwrap());
    std::fs::write(&input, streams.concat()).unwrap();
    let out = folder.file("x.npy");
    let output = run(DECODE, &[&input, "--tensor", "", "-o", &out]);
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    for part in ["picture 16", "3x240x416 to 3x150x202", "--tensor size=", "-o out-%04d.npy"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(folder.names(), ["two_sizes.hevc"], "nothing is left of it");
    // Both ways out.
    decode(&[&input, "--tensor", "size=32x32", "-o", &out]);
    let pattern = folder.file("b-%d.npy");
    decode(&[&input, "--tensor", "", "--batch", "64", "-o", &pattern]);
    assert_eq!(array(&folder.file("b-0.npy")).0, header("|u1", "16, 3, 240, 416"));
    assert!(array(&folder.file("b-1.npy")).0.contains("3, 150, 202"));

    for (args, status, part) in [
        (&[CLIP, "--tensor", "size=0x0"][..], 2, "1x1 to 16384x16384"),
        (&[CLIP, "--tensor", "crop=400:0:100:100"], 2, "416x240"),
        (&[CLIP, "--tensor", "", "-o", "-", "-f", "npy"], 2, "-o NAME.npy"),
        (&[CLIP, "--tensor", "", "-f", "y4m"], 2, "framemd5"),
        (&[CLIP, "-o", "x.npy"], 2, "--tensor"),
        (&["x_444_cqp.hevc", "--tensor", ""], 69, "chroma_format_idc"),
    ] {
        let input = clip(args[0]);
        let output = run(DECODE, &[&[&*input], &args[1..]].concat());
        let said = text(&output.stderr);
        assert!(code(&output) == status && said.contains(part), "{args:?}: {said}");
    }
}

/// Damaged pictures are warned of, as without tensors, and become tensors all the same.
#[test]
fn damage_is_told() {
    let folder = Folder::new("damage");
    let input = folder.file("x.hevc");
    let mut stream = std::fs::read(clip(CLIP)).unwrap();
    stream.iter_mut().skip(4000).step_by(997).for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&input, stream).unwrap();
    let plain = run(DECODE, &[&input, "-f", "null"]);
    let tensors = run(DECODE, &[&input, "-f", "null", "--tensor", "size=16x16"]);
    assert_eq!((code(&plain), code(&tensors)), (65, 65), "{}", text(&tensors.stderr));
    let last = |output: &Output| text(&output.stderr).lines().last().unwrap().to_owned();
    assert_eq!(last(&plain), last(&tensors));
}

#[test]
fn traces_show_conversions() {
    let folder = Folder::new("trace");
    let trace = folder.file("t.json");
    let output =
        decode(&[&clip(CLIP), "--tensor", "size=64x64", "-f", "null", "--batch", "4", "--trace", &trace]);
    let said = text(&output.stderr);
    assert!(said.contains("\nconversions     16, "), "{said}");
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let conversions: Vec<_> = events.iter().filter(|event| event["cat"] == "convert").collect();
    let names: Vec<_> = conversions.iter().map(|event| event["name"].as_str().unwrap()).collect();
    // Four at a time.
    assert!(names.len() == 4 && names[0].starts_with("convert #0 #"), "{names:?}");
    let numbers = names.iter().flat_map(|name| name.strip_prefix("convert #").unwrap().split(" #"));
    let mut numbers: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..16), "{names:?}");
    let row = events.iter().find(|event| {
        event["name"] == "thread_name" && event["tid"] == conversions[0]["tid"] && event["pid"] == 1
    });
    assert!(row.unwrap()["args"]["name"].as_str().unwrap().starts_with("GR0, queue "));
}

#[test]
fn a_corpus_is_held_against_exact_arithmetic() {
    let clips = clip("");
    let args = ["--check-tensors", &clips, "--pictures", "2", "--pixels", "8", "--json"];
    let output = decode(&args);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Where exact values lie halfway between two bytes, either is near enough.
    // Three streams with twenty specs, one that the engine in software refuses, and the totals.
    assert_eq!(lines.len(), 3 * 20 + 1 + 1);
    let totals = &lines.last().unwrap()["totals"];
    assert_eq!((&totals["within"], &totals["wrong"], &totals["refused"]), (&3.into(), &0.into(), &1.into()));
    let streams: Vec<_> = lines.iter().filter_map(|line| line["stream"].as_str()).collect();
    assert!(streams.is_sorted() && streams[0] == "k_10b_tiles.hevc", "{streams:?}");
    for line in lines.iter().filter(|line| line["spec"].is_string()) {
        assert_eq!((&line["verdict"], line["md5"].as_str().unwrap().len()), (&"within".into(), 32), "{line}");
        assert!(line["nearest"].as_f64().unwrap() > 0.8 && line["elements"].as_u64().unwrap() > 0, "{line}");
    }
    // One thread says the same as several, and text ends with the seed.
    let one = decode(&[&args[..], &["--jobs", "1"]].concat());
    assert!(one.stdout == output.stdout);
    let output = decode(&["--check-tensors", &clip(CLIP), "--pictures", "1", "--pixels", "4", "--seed", "7"]);
    let said = text(&output.stdout);
    assert!(said.starts_with("within     x_wpp.hevc  pictures 0\n  own "), "{said}");
    assert!(said.lines().last().unwrap().ends_with("; seed 7"), "{said}");
    assert_eq!(code(&run(DECODE, &["--check-tensors", "/nonexistent"])), 66);
}

#[test]
fn the_probe_says_whether_there_are_tensors() {
    let output = run(PROBE, &[]);
    let said = text(&output.stdout);
    assert!(said.contains("  tensors sm_90, kernels proven on hardware of its class\n"), "{said}");
    let output = run(PROBE, &["--selftest", "--engine", "1", "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let gpu = &report["gpus"][0];
    let compute = (&gpu["compute"]["launches"], &gpu["compute"]["capability"], &gpu["compute"]["tensors"]);
    assert_eq!(compute, (&"proven".into(), &90.into(), &true.into()));
    let tensors = gpu["selftest_tensors"].as_array().unwrap();
    // Two kinds of pictures that the engine in software decodes, four specs.
    assert_eq!(tensors.len(), 8);
    assert!(tensors.iter().all(|tensor| tensor["passed"] == true && tensor["verdict"] == "within"));
}
