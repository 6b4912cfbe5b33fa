//! Live streams: a picture that is there is not held back, neither by a pipe that it comes through nor by one that it goes to.
//!
//! Nothing here is timed. What has to be there is read, and the test would stand still if it did not come.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const DECODE: &str = env!("CARGO_BIN_EXE_nvdec-decode");

fn clip(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join(name)).unwrap()
}

/// A stream cut in front of the NAL units that begin an access unit, each piece with its start codes.
fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut has_slice = true;
    for nal in bitstream::split_annex_b(stream) {
        let kind = nal[0] >> 1;
        // Slice segments are below 32; suffix SEI (40) belongs to the picture before it.
        let begins = if kind < 32 { nal[2] & 0x80 != 0 } else { kind != 40 };
        if begins && has_slice {
            units.push(Vec::new());
            has_slice = false;
        }
        has_slice |= kind < 32;
        let unit = units.last_mut().unwrap();
        unit.extend([0, 0, 0, 1]);
        unit.extend_from_slice(nal);
    }
    units
}

/// How many pictures are shown once so many access units are there.
fn shown(units: &[Vec<u8>]) -> Vec<usize> {
    use hevc::{DecodedPictureBuffer, Parser, Unit};
    let (mut parser, mut dpb, mut output) = (Parser::default(), DecodedPictureBuffer::default(), Vec::new());
    let mut shown = Vec::new();
    for unit in units {
        let mut current = None;
        for nal in bitstream::split_annex_b(unit) {
            if let Ok(Unit::Slice(slice)) = parser.parse(nal)
                && let Some(picture) = slice.picture
            {
                dpb.begin(&picture, &mut output);
                current = Some(picture);
            }
        }
        dpb.insert(&current.expect("a picture in each access unit"), (), &mut output);
        shown.push(output.len());
    }
    shown
}

/// A child that is ended with the test, so that one that fails does not leave it.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn new(args: &[&str]) -> Program {
        let mut child = Command::new(DECODE)
            .args(args)
            .env("NVDEC_DEVICE", "emulated")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Program { child, stdin, stdout }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// What is left behind the end of the stream, and the exit code.
    fn finish(mut self) -> (Vec<u8>, Option<i32>) {
        self.stdin = None;
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        // The remark that closes framemd5 is no picture.
        let line = rest
            .strip_suffix(b"\n")
            .map_or(&[][..], |rest| rest.rsplit(|&byte| byte == b'\n').next().unwrap());
        if line.starts_with(b"#integrity: ") {
            rest.truncate(rest.len() - line.len() - 1);
        }
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a picture of the clip is read from standard output.
enum Shape {
    /// So many bytes.
    Bytes(usize),
    /// A line, not counting those with `#`.
    Line,
    /// A line and so many bytes behind it.
    LineAndBytes(usize),
}

impl Program {
    /// Reads a picture. It blocks until that has come.
    fn read_picture(&mut self, shape: &Shape) -> Vec<u8> {
        let mut picture = Vec::new();
        if let Shape::Line | Shape::LineAndBytes(_) = shape {
            while picture.is_empty() || picture.starts_with(b"#") || picture.starts_with(b"YUV4MPEG2") {
                picture.clear();
                assert!(self.stdout.read_until(b'\n', &mut picture).unwrap() > 0, "the stream ended");
            }
        }
        if let Shape::Bytes(size) | Shape::LineAndBytes(size) = shape {
            let at = picture.len();
            picture.resize(at + size, 0);
            self.stdout.read_exact(&mut picture[at..]).unwrap();
        }
        picture
    }
}

/// Luma and chroma of a picture of 416x240, 8-bit 4:2:0.
const BYTES: usize = 416 * 240 * 3 / 2;

const FORMATS: [(&str, Shape); 4] = [
    ("framemd5", Shape::Line),
    ("yuv", Shape::Bytes(BYTES)),
    ("nv12", Shape::Bytes(BYTES)),
    ("y4m", Shape::LineAndBytes(BYTES)),
];

/// The pictures of the whole stream, decoded from memory to its end.
fn expected(args: &[&str], stream: &[u8], shape: &Shape, count: usize) -> Vec<Vec<u8>> {
    let mut program = Program::new(args);
    let mut stdin = program.stdin.take().unwrap();
    let stream = stream.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&stream));
    let pictures = (0..count).map(|_| program.read_picture(shape)).collect();
    writer.join().unwrap().unwrap();
    assert_eq!(program.finish(), (Vec::new(), Some(0)));
    pictures
}

/// A picture comes out when its access unit is there, if the stream is written so, and else with the first bytes of the next.
#[test]
fn each_picture_comes_when_it_is_there() {
    let stream = clip("x_wpp.hevc");
    let units = access_units(&stream);
    let shown = shown(&units);
    // Two come later in decoding order and earlier in output order.
    assert_eq!((units.len(), shown[2], shown[15]), (16, 1, 14));
    for (format, shape) in FORMATS {
        let pictures = expected(&["-", "-f", format], &stream, &shape, units.len());
        for whole in [true, false] {
            for mode in ["balanced", "low-latency"] {
                let mut args = vec!["-", "-f", format, "--mode", mode];
                args.extend(whole.then_some("--whole-access-units"));
                let mut program = Program::new(&args);
                let mut read = 0;
                for (at, (unit, due)) in units.iter().zip(&shown).enumerate() {
                    program.write(unit);
                    if !whole {
                        // An access unit delimiter up to its header.
                        program.write(&[0, 0, 1, 0x46, 1]);
                    }
                    // That it stands between pictures is known from the second one on.
                    while read < *due && (whole || at > 0) {
                        assert!(program.read_picture(&shape) == pictures[read], "{args:?}: picture {read}");
                        read += 1;
                    }
                    if !whole {
                        program.write(&[0x50]);
                    }
                }
                program.stdin = None;
                for picture in &pictures[read..] {
                    assert!(program.read_picture(&shape) == *picture, "{args:?}");
                }
                assert_eq!(program.finish(), (Vec::new(), Some(0)), "{args:?}");
            }
        }
    }
}

/// The next access unit's first NAL unit will do, and of a slice segment three bytes, even one by one; so does an end of sequence.
#[test]
fn the_beginning_of_the_next_access_unit_ends_a_picture() {
    let stream = clip("x_wpp.hevc");
    let units = access_units(&stream);
    let shown = shown(&units);
    let pictures = expected(&["-"], &stream, &Shape::Line, units.len());
    let mut program = Program::new(&["-"]);
    let mut read = 0;
    for (at, unit) in units.iter().enumerate() {
        // Start code, header, first_slice_segment_in_pic_flag; parameter sets and SEI come in front of the first one only.
        let (first, rest) = unit.split_at(if at == 0 { unit.len() - 1 } else { 7 });
        first.chunks(if at == 0 { 1000 } else { 1 }).for_each(|bytes| program.write(bytes));
        let due = if at == 0 { 0 } else { shown[at - 1] };
        while read < due {
            assert!(program.read_picture(&Shape::Line) == pictures[read], "picture {read}");
            read += 1;
        }
        program.write(rest);
    }
    program.write(&[0, 0, 1, 0x48, 1]);
    while read < shown[units.len() - 1] {
        assert!(program.read_picture(&Shape::Line) == pictures[read], "picture {read}");
        read += 1;
    }
    let (rest, code) = program.finish();
    assert_eq!((rest, code), (pictures[read..].concat(), Some(0)));
}

/// An access unit that a pipe does not hold in one piece is whole all the same.
#[test]
fn large_access_units_are_not_cut() {
    let stream = clip("x_wpp.hevc");
    let units = access_units(&stream);
    let pictures = expected(&["-"], &stream, &Shape::Line, units.len());
    let mut program = Program::new(&["-", "--whole-access-units"]);
    let mut stdin = program.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for unit in units {
            // Filler data (38) in front of the slices, more than any pipe holds.
            let mut large = [&[0, 0, 1, 0x4c, 1][..], &vec![0xff; 3 << 20], &[0x80]].concat();
            large.extend(unit);
            stdin.write_all(&large).unwrap();
        }
    });
    for (at, picture) in pictures.iter().enumerate() {
        assert!(program.read_picture(&Shape::Line) == *picture, "picture {at}");
    }
    writer.join().unwrap();
    assert_eq!(program.finish(), (Vec::new(), Some(0)));
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Files of a series are complete as their pictures come. What comes next is not written before they are there.
#[test]
fn files_of_a_series_come_one_by_one() {
    let folder = Folder(std::env::temp_dir().join(format!("nvdec-live-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let units = access_units(&clip("x_wpp.hevc"));
    let shown = shown(&units);
    let path = folder.0.display().to_string();
    let mut program = Program::new(&["-", "-f", "png", "-o", &path, "--whole-access-units"]);
    for (unit, due) in units.iter().zip(&shown) {
        program.write(unit);
        while !(0..*due).all(|number| folder.0.join(format!("{number:06}.png")).exists()) {
            assert!(program.child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    assert_eq!(program.finish(), (Vec::new(), Some(0)));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), units.len());
}

/// Redirected to a file, what is there is written when nothing comes.
#[test]
fn a_pause_empties_buffers() {
    let folder = Folder(std::env::temp_dir().join(format!("nvdec-live-file-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("sums");
    let stream = clip("x_wpp.hevc");
    let units = access_units(&stream);
    let due = shown(&units)[2];
    let mut child = Command::new(DECODE)
        .args(["-", "--whole-access-units"])
        .env("NVDEC_DEVICE", "emulated")
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    units[..3].iter().for_each(|unit| stdin.write_all(unit).unwrap());
    let lines =
        || std::fs::read_to_string(&path).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    while lines() < due {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(stdin);
    assert_eq!((child.wait().unwrap().code(), lines()), (Some(0), 3));
}

#[test]
fn whole_access_units_come_through_pipes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join("x_wpp.hevc");
    let mut command = Command::new(DECODE);
    let output =
        command.arg(&path).arg("--whole-access-units").env("NVDEC_DEVICE", "emulated").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no pipe"), "{output:?}");
}
