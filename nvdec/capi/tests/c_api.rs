//! Programs in C against the header and both libraries, on the emulated GPU.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use md5::{Digest, Md5};

/// What the static library needs besides: `rustc --print native-static-libs`.
const SYSTEM: [&str; 5] = ["-lgcc_s", "-lpthread", "-lm", "-ldl", "-lc"];
const FLAGS: [&str; 7] = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-g"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo has put the libraries that it built for this test.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

fn compiler() -> Command {
    Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
}

/// The program of `source`, linked with one of the libraries.
fn compiled(source: &str, is_static: bool) -> PathBuf {
    let name = Path::new(source).file_stem().unwrap().to_str().unwrap();
    let kind = if is_static { "static" } else { "shared" };
    let program = scratch(&format!("{name}_{kind}"));
    let mut command = compiler();
    command
        .args(FLAGS)
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(source))
        .arg("-o")
        .arg(&program);
    if is_static {
        command.arg(libraries().join("libnvdec_capi.a")).args(SYSTEM);
    } else {
        command.arg(libraries().join("libnvdec_capi.so"));
        command.arg(format!("-Wl,-rpath,{}", libraries().display())).args(["-lpthread", "-lm", "-ldl"]);
    }
    succeeded(&mut command);
    program
}

fn clip(path: &str) -> PathBuf {
    root().join("../..").join(path)
}

fn video() -> PathBuf {
    clip("nvdec/containers/tests/data/plain.mp4")
}

/// A file of the tests.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn stream() -> PathBuf {
    clip("tools/clips/x_size_202x150.hevc")
}

fn use_it(is_static: bool) {
    let program = compiled("tests/c/use.c", is_static);
    let planes = scratch(&format!("planes_{is_static}.yuv"));
    let output = succeeded(Command::new(program).arg(video()).arg(stream()).arg(&planes));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "used\n");

    // Hashes of FFmpeg's pictures.
    let listed = std::fs::read_to_string(clip("tools/clips/x_size_202x150.hevc.framemd5")).unwrap();
    let lines = listed.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<String> =
        lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect();
    let planes = std::fs::read(planes).unwrap();
    let hash =
        |picture: &[u8]| Md5::digest(picture).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let found: Vec<String> = planes.chunks(202 * 150 + 2 * 101 * 75).map(hash).collect();
    assert!(!found.is_empty());
    assert_eq!(found, expected);
}

#[test]
fn it_is_used_by_the_shared_library() {
    use_it(false);
}

#[test]
fn it_is_used_by_the_static_library() {
    use_it(true);
}

#[test]
fn misuse_is_told() {
    let program = compiled("tests/c/misuse.c", false);
    let output = succeeded(Command::new(program).arg(video()).arg(stream()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "misused\n");
}

#[test]
fn the_example_makes_a_contact_sheet() {
    let program = compiled("examples/thumbnails.c", true);
    let sheet = scratch("sheet.ppm");
    let output = succeeded(Command::new(&program).arg(video()).arg(&sheet).arg("emulated"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines.len(), lines[0]), (8, "picture 1 at 0.042 s: exact"), "{said}");
    let sheet = std::fs::read(sheet).unwrap();
    let head = b"P6\n256 128\n255\n";
    assert!(sheet.starts_with(head) && sheet.len() == head.len() + 256 * 128 * 3);
    // A test pattern within black bars.
    let pixel = |x: usize, y: usize| &sheet[head.len() + 3 * (y * 256 + x)..][..3];
    assert_eq!(pixel(3, 0), [0, 0, 0]);
    assert!((64..128).any(|x| pixel(x, 32) != pixel(64, 32)));

    let output = Command::new(&program).args(["/nowhere.mp4", "/nowhere.ppm", "emulated"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"));
}

/// Hardware alone shows more of it: `tools/capi_gpu.sh`.
#[test]
fn the_check_with_cuda_is_compiled_and_wants_a_gpu() {
    for is_static in [false, true] {
        let program = compiled("tests/c/gpu.c", is_static);
        let output = Command::new(&program).arg(video()).args(["--device", "emulated"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.starts_with("gpu: "), "{said}");
        assert_eq!(Command::new(&program).output().unwrap().status.code(), Some(2));
    }
}

/// C++ takes the header as well, without the library.
#[test]
fn the_header_is_one_of_other_languages_too() {
    let source =
        "#include <nvdec.h>\nint main(void) { return nvdec_abi_version() == NVDEC_ABI_VERSION ? 0 : 1; }\n";
    for (language, standard) in [("c", "c99"), ("c", "c17"), ("c++", "c++11")] {
        let extension = if language == "c" { "c" } else { "cc" };
        let file = scratch(&format!("header_{standard}.{extension}"));
        std::fs::write(&file, source).unwrap();
        let mut command = compiler();
        command.args([
            "-fsyntax-only",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            &format!("-std={standard}"),
        ]);
        let output = command.arg("-I").arg(root().join("include")).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // There may be no compiler for C++.
        let is_missing = language == "c++" && (said.contains("cc1plus") || said.contains("not installed"));
        assert!(output.status.success() || is_missing, "{standard}: {said}");
    }
}

/// What the library has, the header declares; and nothing else goes out.
#[test]
fn the_shared_library_exports_the_header() {
    let header = std::fs::read_to_string(root().join("include/nvdec.h")).unwrap();
    let Ok(output) =
        Command::new("nm").args(["-D", "--defined-only"]).arg(libraries().join("libnvdec_capi.so")).output()
    else {
        return;
    };
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut exported: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    exported.sort_unstable();
    assert!(exported.iter().all(|name| name.starts_with("nvdec_")), "{exported:?}");
    let code = header.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut declared: Vec<&str> = code
        .filter_map(|line| {
            let name =
                &line[line.find("nvdec_").filter(|_| line.contains('(') && !line.starts_with(' '))?..];
            let before = name.split('(').next()?;
            before.split([' ', '*']).next_back()
        })
        .collect();
    declared.sort_unstable();
    assert_eq!(declared, exported);
}
