//! Order statistics. The order in which numbers are given never counts.

use super::Missing;

/// The modified z-score of a normal sample has the scale of its z-score: the third quartile of the normal distribution.
const MAD_SCALE: f64 = 0.6745;

/// The same for the mean absolute deviation: the square root of π/2.
const MEAN_DEVIATION_SCALE: f64 = 1.253314;

/// Beyond this a modified z-score is an anomaly (Iglewicz and Hoaglin, 1993).
pub const THRESHOLD: f64 = 3.5;

/// The quartiles of so many numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter of the numbers is at most this.
    pub q1: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters of them.
    pub q3: f64,
}

/// How numbers are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// How many there are.
    pub n: usize,
    /// Their quartiles.
    pub quartiles: Result<Quartiles, Missing>,
}

impl Spread {
    /// The spread of numbers, of which there have to be so many.
    pub fn of(numbers: impl IntoIterator<Item = f64>, at_least: usize) -> Self {
        let sorted = sorted(numbers);
        let at = |share| quantile(&sorted, share);
        let quartiles = at(0.25).zip(at(0.5)).zip(at(0.75)).filter(|_| sorted.len() >= at_least);
        let quartiles = quartiles.map(|((q1, median), q3)| Quartiles { q1, median, q3 });
        Self { n: sorted.len(), quartiles: quartiles.ok_or(Missing::TooFew) }
    }
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The number below which this share of sorted ones lies; between two of them it is interpolated, as `percentile_cont` of
/// Postgres and `quantile` of pandas do.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// The median; `None` of nothing.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(numbers), 0.5)
}

/// What deviations are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The median of the absolute deviations from the median.
    Median,
    /// Their mean, where their median is 0: more than half of the numbers are equal.
    Mean,
}

/// How far each of some numbers is from their middle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scores {
    /// Their median.
    pub median: f64,
    /// The median, or the mean, of the absolute deviations from it.
    pub deviation: f64,
    /// Which of both.
    pub scale: Scale,
    /// The modified z-score of each, in their order.
    pub scores: Vec<f64>,
}

/// The modified z-scores of numbers, of which there have to be so many: 0.6745 · (x − median) / MAD. Where the MAD is 0, the
/// mean absolute deviation takes its place: (x − median) / (1.253314 · mean). Where all are equal there is none.
pub(super) fn modified_z_scores(numbers: &[f64], at_least: usize) -> Result<Scores, Missing> {
    let middle = median(numbers.iter().copied()).filter(|_| numbers.len() >= at_least).ok_or(Missing::TooFew)?;
    let deviations: Vec<f64> = sorted(numbers.iter().map(|number| (number - middle).abs()));
    let mad = quantile(&deviations, 0.5).unwrap_or_default();
    let (scale, deviation, unit) = if mad > 0.0 {
        (Scale::Median, mad, mad / MAD_SCALE)
    } else {
        // Summed in their order, so that the same numbers have the same mean.
        let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
        (Scale::Mean, mean, MEAN_DEVIATION_SCALE * mean)
    };
    if unit <= 0.0 {
        return Err(Missing::AllEqual);
    }
    let scores = numbers.iter().map(|number| (number - middle) / unit).collect();
    Ok(Scores { median: middle, deviation, scale, scores })
}
