//! [`Notes`]: what a caller should know and that is no error.

/// Notes kept at most: a damaged file may give occasion for many.
const MOST: usize = 64;

/// Sentences about a container, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    pub(crate) fn add(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.0.len() < MOST && !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    pub(crate) fn list(&self) -> &[String] {
        &self.0
    }
}
