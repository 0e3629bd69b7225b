import Base

/// Names of index files: the time they were made, as `yyyyMMddHHmmssSSS`. RocketMQ uses the zone of the machine; here it is
/// UTC, for only the order of names matters.
enum FileNameTime {
    /// The digits as one number.
    static func number(_ timestamp: Timestamp) -> Int64 {
        let milliseconds = max(timestamp.milliseconds, 0)
        let (day, ofDay) = milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        let (year, month, dayOfMonth) = civil(day)
        let seconds = ofDay / 1000
        let date = year * 10_000 + month * 100 + dayOfMonth
        let time = seconds / 3600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60
        return (date * 1_000_000 + time) * 1000 + ofDay % 1000
    }

    /// Year, month and day of a number of days since 1970-01-01. Counts in eras of 400 years from 1 March, so that the leap day
    /// is the last of its year (Hinnant, "chrono-compatible low-level date algorithms").
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        )
    }
}
