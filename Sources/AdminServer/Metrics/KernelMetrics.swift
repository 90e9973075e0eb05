internal import FoundationEssentials

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// The `process_…` metrics that every exporter has, as the kernel tells them.
struct KernelMetrics: Sendable {
    static let cpu = Metric("process_cpu_seconds_total", .counter, "User and system time.")
    static let resident = Metric("process_resident_memory_bytes", .gauge, "Memory in RAM.")
    static let virtual = Metric("process_virtual_memory_bytes", .gauge, "Address space.")
    static let threads = Metric("process_threads", .gauge, "Threads.")
    static let start = Metric("process_start_time_seconds", .gauge, "When the process began, in seconds since 1970.")
    static let files = Metric("process_open_fds", .gauge, "Open file descriptors.")
    static let filesMax = Metric("process_max_fds", .gauge, "Limit of open file descriptors.")

    private(set) var values: [(metric: Metric, value: Double)] = []

    /// Reads what /proc has; what can't be read is left out.
    init() {
        self.init(stat: Self.read("/proc/self/stat"), system: Self.read("/proc/stat"), limits: Self.read("/proc/self/limits"))
        if let open = Self.openFiles() { values.append((Self.files, Double(open))) }
    }

    init(
        stat: String?, system: String?, limits: String?, ticksPerSecond: Double = Double(sysconf(CInt(_SC_CLK_TCK))),
        pageBytes: Double = Double(sysconf(CInt(_SC_PAGESIZE)))
    ) {
        // After the name of the program, which may hold anything, the third field is the first: proc(5).
        if let fields = stat?.split(separator: ")").last?.split(separator: " ").map({ Double($0) }), fields.count > 21 {
            func field(_ number: Int) -> Double { fields[number - 3] ?? 0 }
            values.append((Self.cpu, (field(14) + field(15)) / ticksPerSecond))
            values.append((Self.resident, field(24) * pageBytes))
            values.append((Self.virtual, field(23)))
            values.append((Self.threads, field(20)))
            let boot = system?.split(separator: "\n").first { $0.hasPrefix("btime ") }?.split(separator: " ").last.flatMap { Double($0) }
            if let boot { values.append((Self.start, boot + field(22) / ticksPerSecond)) }
        }
        if let line = limits?.split(separator: "\n").first(where: { $0.hasPrefix("Max open files") }),
            let limit = line.dropFirst("Max open files".count).split(separator: " ").first
        {
            values.append((Self.filesMax, Double(limit) ?? .infinity))
        }
    }

    /// Since Linux 6.2 the size of that directory is what is in it; before, it has to be read.
    private static func openFiles() -> Int? {
        let directory = "/proc/self/fd"
        let attributes = try? FileManager.default.attributesOfItem(atPath: directory)
        if let size = attributes?[.size] as? Int, size > 0 { return size }
        return try? FileManager.default.contentsOfDirectory(atPath: directory).count
    }

    private static func read(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}
