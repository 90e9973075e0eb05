internal import Synchronization

/// Counts durations by their length, in seconds.
package final class Histogram: Sendable {
    package struct Reading: Sendable, Equatable {
        /// Upper ends of the buckets, rising.
        package var bounds: [Double]
        /// One for each bound; what is above the last one is in `count` only.
        package var buckets: [UInt64]
        package var count: UInt64 = 0
        package var sum = 0.0

        package init(bounds: [Double]) {
            self.bounds = bounds
            buckets = bounds.map { _ in 0 }
        }

        /// - Parameter counts: one for each bound, and what is above the last one.
        init(bounds: [Double], counts: [UInt64], sum: Double) {
            self.bounds = bounds
            buckets = Array(counts.dropLast())
            count = counts.reduce(0, +)
            self.sum = sum
        }
    }

    private let state: Mutex<Reading>

    package init(bounds: [Double]) { state = Mutex(Reading(bounds: bounds)) }

    package var reading: Reading { state.withLock { $0 } }

    package func observe(_ seconds: Double) {
        state.withLock { state in
            if let index = state.bounds.firstIndex(where: { seconds <= $0 }) { state.buckets[index] += 1 }
            state.count += 1
            state.sum += seconds
        }
    }
}

extension Histogram {
    /// From one millisecond to a minute, for what is to take ten milliseconds.
    package static let programmingBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
    /// Those of kube-proxy's metrics of these names, so that dashboards and alerts fit.
    package static let networkProgrammingBounds: [Double] =
        [0.25, 0.5] + (1...59).map(Double.init) + stride(from: 60.0, through: 115, by: 5) + stride(from: 120.0, through: 300, by: 30)
    package static let syncBounds: [Double] = (0..<15).map { 0.001 * Double(1 << $0) }
}
