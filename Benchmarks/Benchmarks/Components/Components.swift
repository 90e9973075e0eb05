import Benchmark

/// The parts of Ringway whose cost is a figure worth watching, one by one and without a network.
@main
struct Components: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        registerRouting()
        registerControlPlane()
        registerWorker()
    }

    /// Counts of allocations are left out: they read 0 without the library's own malloc, which is not linked here. AllocationCheck
    /// counts them. `instructions` reads 0 where the machine has no hardware counters for us.
    static func configuration(_ scale: BenchmarkScalingFactor = .one, warmUps: Int = 1) -> Benchmark.Configuration {
        Benchmark.Configuration(
            metrics: [.wallClock, .throughput, .instructions], warmupIterations: warmUps, scalingFactor: scale, maxDuration: .seconds(1))
    }
}
