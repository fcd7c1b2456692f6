//! See the tour in the crate's front page.
