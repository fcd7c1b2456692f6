//! Mislabelled defects among the good training pieces, found by the model
//! itself and left out.
//!
//! A model that is trained on a defect as good learns to pass it over, and its
//! score of that piece says little. So the pieces are divided into parts, and
//! in each stretch of the run one part is not trained on; at the stretch's end
//! the model scores that part and the most anomalous pieces of it are left out
//! from then on. No second model is needed, and every piece is scored once, by a
//! model that has learnt for 40% of the run or more and has not seen it for a
//! fifth of the run, or never.

use super::model::Draem;
use crate::data::image::Image;
use crate::error::Result;
use crate::random::Seed;
use ndarray::Array3;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Parts that take turns.
const PARTS: usize = 3;
/// When each part's turn ends, in tenths of the run. A model that has learnt for
/// less than 40% hardly tells a defect; the last part comes back when the learning
/// rate falls for the first time.
const ENDS: [usize; PARTS] = [4, 6, 8];
/// Pieces scored at a time.
const CHUNK: usize = 16;

/// What was found of one part of the training pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sifting {
    /// Steps done when it was scored.
    pub step: usize,
    /// Which training pieces, by index.
    pub pieces: Vec<usize>,
    /// The image score of each.
    pub scores: Vec<f64>,
    /// Which of them are left out, by index, ascending.
    pub left_out: Vec<usize>,
}

/// Which pieces are trained on in which stretch of a run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    parts: Vec<Vec<usize>>,
    pieces: usize,
    share: f64,
    steps: usize,
}

impl Plan {
    /// For so many pieces and steps; `share` of the pieces is left out, none if 0.
    pub fn new(pieces: usize, share: f64, steps: usize, seed: Seed) -> Self {
        let mut parts = vec![Vec::new(); PARTS];
        if share > 0.0 && pieces >= 2 * PARTS {
            let mut order: Vec<usize> = (0..pieces).collect();
            order.shuffle(&mut seed.rng());
            for (i, piece) in order.into_iter().enumerate() {
                parts[i % PARTS].push(piece);
            }
            parts.iter_mut().for_each(|part| part.sort_unstable());
        } else {
            parts.clear();
        }
        Self {
            parts,
            pieces,
            share,
            steps,
        }
    }

    /// The part that is due to be scored once `step` steps are done, if any.
    pub fn due(&self, step: usize, done: &[Sifting]) -> Option<&[usize]> {
        let part = self.parts.get(done.len())?;
        (step == self.end(done.len())).then_some(part)
    }

    /// After how many steps the part's turn ends.
    fn end(&self, part: usize) -> usize {
        (ENDS[part] * self.steps).div_ceil(10)
    }

    /// The pieces to train on after these siftings, ascending.
    pub fn trained_on(&self, done: &[Sifting]) -> Vec<usize> {
        let kept_back = self.parts.get(done.len());
        (0..self.pieces)
            .filter(|i| !done.iter().any(|s| s.left_out.contains(i)))
            .filter(|i| kept_back.is_none_or(|part| part.binary_search(i).is_err()))
            .collect()
    }

    /// Scores a part and chooses what is left out of it.
    pub fn sift(
        &self,
        model: &Draem,
        images: &[Array3<f32>],
        part: &[usize],
        step: usize,
    ) -> Result<Sifting> {
        let mut scores = Vec::with_capacity(part.len());
        for chunk in part.chunks(CHUNK) {
            let images = chunk
                .iter()
                .map(|&i| Image::new(images[i].clone()))
                .collect::<Result<Vec<_>>>()?;
            scores.extend(model.draw(&images)?.iter().map(|d| d.map.image_score()));
        }
        Ok(Sifting {
            step,
            left_out: most_anomalous(part, &scores, self.share),
            pieces: part.to_vec(),
            scores,
        })
    }
}

/// This share of the pieces, those of the highest scores (of equal ones the
/// first), ascending.
fn most_anomalous(pieces: &[usize], scores: &[f64], share: f64) -> Vec<usize> {
    let mut ranked: Vec<(f64, usize)> =
        scores.iter().copied().zip(pieces.iter().copied()).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let count = (share * pieces.len() as f64).round() as usize;
    let mut out: Vec<usize> = ranked.into_iter().take(count).map(|(_, i)| i).collect();
    out.sort_unstable();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_kept_back_once_and_the_sifted_stay_out() {
        let plan = Plan::new(10, 0.25, 50, Seed::new(1));
        let mut done: Vec<Sifting> = Vec::new();
        let mut scored = Vec::new();
        for step in 0..50 {
            if let Some(part) = plan.due(step, &done) {
                let trained = plan.trained_on(&done);
                assert!(part.iter().all(|i| !trained.contains(i)));
                scored.extend(part.to_vec());
                let left_out = vec![part[0]];
                done.push(Sifting {
                    step,
                    pieces: part.to_vec(),
                    scores: vec![0.0; part.len()],
                    left_out,
                });
            }
        }
        scored.sort_unstable();
        assert_eq!(scored, (0..10).collect::<Vec<_>>());
        assert_eq!(
            done.iter().map(|s| s.step).collect::<Vec<_>>(),
            [20, 30, 40]
        );
        let left = plan.trained_on(&done);
        assert_eq!(left.len(), 7);
        assert!(done.iter().all(|s| !left.contains(&s.left_out[0])));
    }

    #[test]
    fn without_a_share_all_pieces_are_trained_on() {
        let plan = Plan::new(10, 0.0, 50, Seed::new(1));
        assert_eq!(plan.trained_on(&[]).len(), 10);
        assert!((0..50).all(|step| plan.due(step, &[]).is_none()));
    }

    #[test]
    fn the_highest_scores_go_first() {
        let out = most_anomalous(&[3, 5, 7, 9], &[0.1, 0.9, 0.4, 0.9], 0.5);
        assert_eq!(out, [5, 9]);
        assert!(most_anomalous(&[3, 5], &[0.1, 0.2], 0.2).is_empty());
    }
}
