//! `regions.csv`: every region of every inspected piece, in the order of the
//! inputs, the highest peak of a piece first.
//!
//! The columns are `id,region,left,top,width,height,area,peak,mean,centroid_x,`
//! `centroid_y,channel,difference,ratio`; lengths are in pixels of the
//! photograph, whose top left pixel has its centre at (0, 0). See
//! [`Region`] for what they mean. A piece without a region has no line. The
//! regions lie in the rows of the journal, so a resumed run has them all.

use crate::data::region::{Region, RegionRule};
use crate::error::{Error, Result};
use crate::report::scores::ScoreRow;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// The file's name.
pub const FILE: &str = "regions.csv";

const COLUMNS: [&str; 14] = [
    "id",
    "region",
    "left",
    "top",
    "width",
    "height",
    "area",
    "peak",
    "mean",
    "centroid_x",
    "centroid_y",
    "channel",
    "difference",
    "ratio",
];

/// What a report says of the rule behind the regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionFacts {
    /// A region reaches as far as pixels are at or above this.
    pub low: f32,
    /// A region has a pixel at or above this.
    pub high: f32,
    /// Where `high` comes from.
    pub basis: String,
    /// Whether the channels' differences are compared with those of good pieces.
    pub relative: bool,
}

impl RegionFacts {
    /// Those of a bundle's rule.
    #[must_use]
    pub fn of(rule: &RegionRule) -> Self {
        Self {
            low: rule.low(),
            high: rule.high(),
            basis: rule.basis().to_string(),
            relative: !rule.usual().is_empty(),
        }
    }
}

/// Writes the whole table, one row at a time.
///
/// # Errors
/// The first error of `rows`, or of `out`.
pub fn write(out: impl Write, rows: impl Iterator<Item = Result<ScoreRow>>) -> Result<()> {
    let failed = |e: csv::Error| Error::io("write", FILE)(std::io::Error::other(e));
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS).map_err(failed)?;
    for row in rows {
        let row = row?;
        let Some(regions) = &row.regions else {
            continue;
        };
        for (i, region) in regions.found.iter().enumerate() {
            csv.write_record(cells(&row.id, i + 1, region))
                .map_err(failed)?;
        }
    }
    csv.flush().map_err(Error::io("write", FILE))
}

fn cells(id: &str, number: usize, r: &Region) -> [String; COLUMNS.len()] {
    [
        id.to_string(),
        number.to_string(),
        r.left.to_string(),
        r.top.to_string(),
        r.width.to_string(),
        r.height.to_string(),
        format!("{:.1}", r.area),
        r.peak.to_string(),
        r.mean.to_string(),
        format!("{:.2}", r.centroid[0]),
        format!("{:.2}", r.centroid[1]),
        r.channel.clone(),
        r.difference.to_string(),
        r.ratio.map_or_else(String::new, |ratio| ratio.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prediction::{Decision, Verdict};
    use crate::data::region::Regions;
    use std::path::Path;

    #[test]
    fn every_region_has_a_line_and_a_calm_piece_has_none() {
        let decision = Decision {
            verdict: Verdict::Pass,
            score: 0.1,
            threshold: 0.5,
        };
        let region = Region {
            left: 3,
            top: 4,
            width: 5,
            height: 6,
            area: 17.25,
            peak: 0.9,
            mean: 0.5,
            centroid: [5.5, 6.125],
            channel: "R,G".into(),
            difference: 0.25,
            ratio: None,
        };
        let row = |id: &str, found: Vec<Region>| {
            ScoreRow::scored(id, Path::new(id), &decision, None, None).with_regions(Regions {
                width: 30,
                height: 20,
                found,
            })
        };
        let second = Region {
            ratio: Some(2.5),
            ..region.clone()
        };
        let rows = [
            row("a", vec![region, second]),
            row("calm", Vec::new()),
            ScoreRow::unreadable("b", Path::new("b"), &Error::data("torn")),
        ];
        let mut out = Vec::new();
        write(&mut out, rows.into_iter().map(Ok)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "id,region,left,top,width,height,area,peak,mean,centroid_x,centroid_y,channel,\
             difference,ratio\n\
             a,1,3,4,5,6,17.2,0.9,0.5,5.50,6.12,\"R,G\",0.25,\n\
             a,2,3,4,5,6,17.2,0.9,0.5,5.50,6.12,\"R,G\",0.25,2.5\n"
        );
    }
}
