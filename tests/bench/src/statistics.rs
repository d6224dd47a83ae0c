//! Medians, percentiles, and ratios between peers of one round.

/// The middle one, or the mean of the middle two.
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

/// How many times as much `theirs` is as `ours`: round by round, as what else the machine does changes between rounds, and then the
/// median. A round that one of them did not finish does not count.
pub(crate) fn ratio(theirs: &[Option<f64>], ours: &[Option<f64>]) -> Option<f64> {
    median(theirs.iter().zip(ours).filter_map(|pair| match pair {
        (Some(theirs), Some(ours)) if *ours > 0.0 => Some(theirs / ours),
        _ => None,
    }))
}

/// The values below which these shares of all lie, of values that each count so many times. Sorts them.
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
        // The second round was three times as slow for both: no ratio of medians would see that.
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
