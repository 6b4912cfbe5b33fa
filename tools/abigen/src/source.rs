//! Finds NVIDIA's headers: in a checkout, or in a git directory at a tag.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use nvkernel_sys::layout::{DriverVersion, OLDEST_SUPPORTED};

use crate::error::Error;

/// Where the headers lie in open-gpu-kernel-modules; every one is a directory of the include path.
pub(crate) const INCLUDE: &[&str] = &[
    "src/common/sdk/nvidia/inc",
    "src/common/inc",
    "src/nvidia/arch/nvalloc/unix/include",
    "kernel-open/common/inc",
];

/// A directory with headers of one release; removed when dropped if it was extracted.
pub(crate) struct Headers {
    root: PathBuf,
    extracted: bool,
    /// The release.
    pub(crate) version: DriverVersion,
}

impl Headers {
    /// The directories of the include path.
    pub(crate) fn include(&self) -> Vec<PathBuf> {
        INCLUDE.iter().map(|dir| self.root.join(dir)).collect()
    }

    /// The headers of a checkout, whose release is in its version.mk.
    pub(crate) fn checkout(root: &Path) -> Result<Self, Error> {
        let path = root.join("version.mk");
        let text = fs::read_to_string(&path).map_err(|_| Error::NotASource { path: root.to_owned() })?;
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("NVIDIA_VERSION")?.trim().strip_prefix('='))
            .ok_or_else(|| Error::NotASource { path: root.to_owned() })?;
        Ok(Self { root: root.to_owned(), extracted: false, version: parse(version.trim())? })
    }

    /// The headers of `tag`, extracted from the git repository at `path`.
    pub(crate) fn tag(path: &Path, tag: &str) -> Result<Self, Error> {
        let version = parse(tag)?;
        let root = env::temp_dir().join(format!("nvkernel-abigen-{}-{tag}", process::id()));
        fs::create_dir_all(&root).map_err(Error::io(&root))?;
        let headers = Self { root, extracted: true, version };
        let mut git = git(path)?;
        // An index and a work tree of our own leave those of the repository alone.
        git.env("GIT_INDEX_FILE", headers.root.join(".index"))
            .arg("--work-tree")
            .arg(&headers.root)
            .args(["checkout", "--quiet", tag, "--"])
            .args(INCLUDE);
        output(&mut git, path, tag)?;
        Ok(headers)
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if self.extracted && fs::remove_dir_all(&self.root).is_err() {
            eprintln!("nvkernel-abigen: {} could not be removed", self.root.display());
        }
    }
}

fn parse(text: &str) -> Result<DriverVersion, Error> {
    text.parse().map_err(|_| Error::Version(text.to_owned()))
}

fn git(path: &Path) -> Result<Command, Error> {
    let dot = path.join(".git");
    let dir = if dot.exists() { dot } else { path.to_owned() };
    if !dir.join("HEAD").exists() {
        return Err(Error::NotASource { path: path.to_owned() });
    }
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(dir);
    Ok(git)
}

fn output(git: &mut Command, path: &Path, what: &str) -> Result<String, Error> {
    let out = git.output().map_err(Error::io("git"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        let message = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        Err(Error::Git { what: what.to_owned(), path: path.to_owned(), message })
    }
}

/// Every tag of the repository that is a supported release, oldest first.
pub(crate) fn tags(path: &Path) -> Result<Vec<String>, Error> {
    let list = output(git(path)?.arg("tag"), path, "tag")?;
    let mut tags: Vec<(DriverVersion, String)> = list
        .lines()
        .filter_map(|tag| Some((tag.parse::<DriverVersion>().ok()?, tag.to_owned())))
        .filter(|(version, _)| *version >= OLDEST_SUPPORTED)
        .collect();
    tags.sort();
    Ok(tags.into_iter().map(|(_, tag)| tag).collect())
}
