/// How long the timeouts of connections and sessions may be, by annotation or by option: each but those of a connect and of UDP may
/// also be off.
package enum TimeoutRange {
    private static let year = Duration.seconds(365 * 24 * 3600)

    package static let idle: ClosedRange<Duration> = .milliseconds(100)...year
    package static let halfClose: ClosedRange<Duration> = .milliseconds(100)...year
    /// tcp(7) counts in seconds, up to 32,767 of them.
    package static let keepalive: ClosedRange<Duration> = .seconds(1)...(.seconds(9 * 3600))
    /// tcp(7) counts in milliseconds, up to 2^31 of them.
    package static let userTimeout: ClosedRange<Duration> = .milliseconds(100)...(.seconds(24 * 24 * 3600))
    /// Of one attempt, and of all attempts together.
    package static let connect: ClosedRange<Duration> = .milliseconds(10)...(.seconds(3600))
    /// Of a UDP session, which nothing but a timeout ends.
    package static let session: ClosedRange<Duration> = .seconds(1)...(.seconds(3600))
}
