//! [`Refreshes`]: gradual decoding refresh, as recovery point messages tell of it (D.3.8).

use hevc::Picture;

use crate::pictures::integrity::Refresh;

/// Follows the recovery points of a stream.
#[derive(Debug, Default)]
pub(super) struct Refreshes {
    /// The message that came after the last picture.
    announced: Option<Announced>,
    /// The refresh that was announced last.
    window: Option<Window>,
    /// Number of the picture with which the last one before that began.
    clean_since: u64,
    /// Decoding began in the midst of a sequence.
    joined: bool,
}

#[derive(Clone, Copy, Debug)]
struct Announced {
    recovery_poc_cnt: i32,
    exact_match_flag: bool,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    /// Number of the picture with the message.
    began: u64,
    /// Picture order count of the recovery point.
    until: i32,
    /// Pictures from there on are what they are if decoding begins at an IRAP picture (`exact_match_flag`).
    exact: bool,
}

impl Window {
    /// Whether everything before it is without effect on a picture.
    fn has_cleaned(&self, poc: i32) -> bool {
        self.exact && poc >= self.until
    }
}

impl Refreshes {
    /// A message for the next picture.
    pub(super) fn announce(&mut self, recovery_poc_cnt: i32, exact_match_flag: bool) {
        self.announced = Some(Announced { recovery_poc_cnt, exact_match_flag });
    }

    /// Nothing was announced after all.
    pub(super) fn take_back(&mut self) {
        self.announced = None;
    }

    /// Whether a message came after the last picture.
    pub(super) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// What they mean for the next picture, the one with `number` in decoding order.
    pub(super) fn of(&mut self, picture: &Picture, number: u64) -> Refresh {
        let announced = self.announced.take();
        if picture.is_irap() {
            // What follows refers to nothing before; leading pictures may, and are as good as that is.
            (self.window, self.joined) = (None, false);
            return Refresh { clean_since: self.clean_since, recovering_until: None };
        }
        self.joined |= !picture.has_prior_pictures;
        let poc = picture.pic_order_cnt_val;
        if let Some(point) = announced {
            if let Some(before) = self.window.filter(|window| window.has_cleaned(poc)) {
                self.clean_since = before.began;
            }
            let until = poc.saturating_add(point.recovery_poc_cnt);
            self.window = Some(Window { began: number, until, exact: point.exact_match_flag });
        }
        match self.window {
            Some(window) if window.has_cleaned(poc) => {
                Refresh { clean_since: window.began, recovering_until: None }
            }
            window => Refresh {
                clean_since: self.clean_since,
                recovering_until: window.filter(|_| self.joined).map(|window| window.until),
            },
        }
    }
}

#[cfg(test)]
mod tests;
