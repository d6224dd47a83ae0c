//! Medians, percentiles, and ratios between the peers of a round.

/// Returns the middle value, or the mean of the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Returns how many times as large `theirs` is as `ours`: the median of the ratios of each round,
/// because other work of the machine changes between rounds. A round that one of them did not
/// finish does not count.
pub(crate) fn ratio(theirs: &[Option<f64>], ours: &[Option<f64>]) -> Option<f64> {
    median(theirs.iter().zip(ours).filter_map(|pair| match pair {
        (Some(theirs), Some(ours)) if *ours > 0.0 => Some(theirs / ours),
        _ => None,
    }))
}

/// Returns the values below which these shares lie, of values that each count this many times.
/// Sorts them.
pub(crate) fn percentiles<const N: usize>(values: &mut [(f64, u32)], shares: [f64; N]) -> Option<[f64; N]> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = values.iter().map(|(_, count)| u64::from(*count)).sum();
    let last = values.last()?.0;
    Some(shares.map(|share| {
        let rank = share * total as f64;
        let mut below = 0;
        values
            .iter()
            .find(|(_, count)| {
                below += u64::from(*count);
                below as f64 >= rank
            })
            .map_or(last, |(value, _)| *value)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn a_ratio_pairs_the_rounds() {
        // The second round was three times as slow for both: the ratio of the medians would miss
        // that.
        let theirs = [Some(10.0), Some(60.0), Some(20.0)];
        let ours = [Some(1.0), Some(3.0), Some(4.0)];
        assert_eq!(ratio(&theirs, &ours), Some(10.0));
        assert_eq!(ratio(&[Some(10.0), None, Some(9.0)], &[Some(5.0), Some(1.0), None]), Some(2.0));
        assert_eq!(ratio(&[None], &[Some(1.0)]), None);
    }

    #[test]
    fn percentiles_count_each_value_as_often_as_it_came() {
        let mut values = [(5.0, 1), (1.0, 90), (3.0, 9)];
        assert_eq!(percentiles(&mut values, [0.5, 0.9, 0.95, 0.99, 1.0]), Some([1.0, 1.0, 3.0, 3.0, 5.0]));
        assert_eq!(percentiles::<1>(&mut [], [0.5]), None);
    }
}
