internal import Platform

/// The time that goes into a bundle, so that the same input gives the same bytes
/// (reproducible-builds.org, SOURCE_DATE_EPOCH).
public enum SourceDate {
    /// SOURCE_DATE_EPOCH, seconds since 1970; nil when it is not set.
    public static func fromEnvironment() throws(PackagingError) -> Int64? {
        guard let text = ProcessInformation.environment("SOURCE_DATE_EPOCH") else { return nil }
        // The last second of the year 9999 is the latest that a manifest can carry.
        guard let seconds = Int64(text), (0...253_402_300_799).contains(seconds) else { throw .sourceDate(text) }
        return seconds
    }
}
