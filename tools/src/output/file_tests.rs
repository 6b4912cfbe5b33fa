use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::exit::Exit;

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("nvdec-file-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn create(path: &Path) -> Result<OutputFile, Failure> {
    OutputFile::create(path, &Sources::default())
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let folder = Folder::new("whole");
    let path = folder.path("x");
    fs::write(&path, "before").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut file = create(&path).unwrap();
    file.write_all(b"half").unwrap();
    file.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"before");
    drop(file);
    assert_eq!((fs::read(&path).unwrap(), folder.names()), (b"before".to_vec(), vec!["x".to_owned()]));
    let mut file = create(&path).unwrap();
    file.write_all(b"behind").unwrap();
    let mut other = create(&folder.path("y")).unwrap();
    other.write_all(b"other").unwrap();
    assert_eq!(file.commit().unwrap(), 6);
    assert_eq!(other.commit().unwrap(), 5);
    assert_eq!(
        (fs::read(&path).unwrap(), folder.names()),
        (b"behind".to_vec(), vec!["x".into(), "y".to_owned()])
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640, "as before");
}

#[test]
fn links_stay_and_lead_to_the_new_file() {
    let folder = Folder::new("links");
    fs::create_dir(folder.path("sub")).unwrap();
    fs::write(folder.path("sub/file"), "before").unwrap();
    symlink("sub/file", folder.path("old")).unwrap();
    symlink("old", folder.path("old2")).unwrap();
    symlink("sub/none", folder.path("new")).unwrap();
    symlink("loop", folder.path("loop")).unwrap();
    for (link, target) in [("old2", "sub/file"), ("new", "sub/none")] {
        let mut file = create(&folder.path(link)).unwrap();
        file.write_all(b"behind").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(folder.path(target)).unwrap(), b"behind");
        assert!(fs::symlink_metadata(folder.path(link)).unwrap().is_symlink());
    }
    assert_eq!(create(&folder.path("loop")).unwrap_err().exit(), Exit::Fault);
    assert_eq!(fs::read_dir(folder.path("sub")).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn devices_and_pipes_are_written_to_as_they_are() {
    let folder = Folder::new("direct");
    for path in ["/dev/null", "/dev/fd/1", "/dev/stdout", "-"] {
        assert!(!is_replaced(Path::new(path)).unwrap(), "{path}");
    }
    assert_eq!(create(Path::new("/dev/null")).unwrap().commit().unwrap(), 0);
    assert!(Path::new("/dev/null").exists());
    let pipe = folder.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert!(!is_replaced(&pipe).unwrap() && is_replaced(&folder.path("x")).unwrap());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    let mut file = create(&pipe).unwrap();
    file.write_all(b"through").unwrap();
    file.commit().unwrap();
    assert_eq!((reader.join().unwrap(), folder.names()), (b"through".to_vec(), vec!["pipe".to_owned()]));
}

#[test]
fn what_cannot_be_written_is_an_error_at_once() {
    let folder = Folder::new("errors");
    for wrong in ["none/x", "", ".."] {
        let failure = create(&folder.path(wrong)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Fault, "{wrong}: {failure}");
    }
    let mut full = create(Path::new("/dev/full")).unwrap();
    full.write_all(b"x").unwrap();
    let failure = full.commit().unwrap_err();
    assert!(failure.to_string().starts_with("cannot write /dev/full: No space left"), "{failure}");
}

#[test]
fn an_input_is_no_output_whatever_its_name() {
    let folder = Folder::new("sources");
    let [input, hard, soft, other] = ["input", "hard", "soft", "other"].map(|name| folder.path(name));
    fs::write(&input, "bytes").unwrap();
    fs::write(&other, "bytes").unwrap();
    fs::hard_link(&input, &hard).unwrap();
    symlink("hard", &soft).unwrap();
    let sources = Sources::of([input.as_path()]);
    for output in [&input, &hard, &soft, &folder.path("../").join(folder.0.file_name().unwrap()).join("soft")]
    {
        for failure in
            [sources.check(&[&other, output]).unwrap_err(), OutputFile::create(output, &sources).unwrap_err()]
        {
            assert_eq!(failure.exit(), Exit::Usage, "{failure}");
            assert!(failure.to_string().contains(&*input.to_string_lossy()), "{failure}");
        }
    }
    sources.check(&[&other, &folder.path("new"), Path::new("/dev/null"), Path::new("/dev/null")]).unwrap();
    assert_eq!(folder.names().len(), 4);
    assert_eq!(fs::read(&input).unwrap(), b"bytes");
}

#[test]
fn two_outputs_are_two_files() {
    let folder = Folder::new("outputs");
    let [a, b, link] = ["a", "b", "link"].map(|name| folder.path(name));
    symlink("a", &link).unwrap();
    let [dash, stdout] = ["-", "/dev/stdout"].map(PathBuf::from);
    let check = |outputs: &[&Path]| Sources::default().check(outputs);
    check(&[&a, &b, &dash]).unwrap();
    for outputs in [&[&a, &link][..], &[&a, &a], &[&dash, &stdout]] {
        let outputs: Vec<&Path> = outputs.iter().map(|path| -> &Path { path }).collect();
        assert_eq!(check(&outputs).unwrap_err().exit(), Exit::Usage, "{outputs:?}");
    }
}
