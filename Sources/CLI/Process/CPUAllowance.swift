/// How many CPUs the process may use: by its affinity mask, and by the share of time that its control group grants (what
/// `docker run --cpus` and Kubernetes' CPU limits set).
///
/// Pure but for `read`, which gives the content of a file or nil.
struct CPUAllowance {
    let read: (String) -> String?

    /// CPUs this process may run on: the mask of sched_getaffinity(2), which Swift can't call without a C shim, as the kernel
    /// prints it. Nil where /proc is not mounted.
    func allowedCPUs() -> Int? {
        guard let status = read("/proc/self/status"),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed_list:") })
        else { return nil }
        // `0-3,8,10-11`
        var count = 0
        for range in line.drop(while: { $0 != ":" }).dropFirst().split(separator: ",") {
            let bounds = range.split(separator: "-").map { Int($0.filter { !$0.isWhitespace }) }
            guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, last >= first else { return nil }
            count += last - first + 1
        }
        return count > 0 ? count : nil
    }

    /// The smallest quota of the process's group and the groups above it, in CPUs; nil where none is set.
    func quota() -> Double? {
        guard let membership = read("/proc/self/cgroup") else { return nil }
        var quotas: [Double] = []
        for line in membership.split(separator: "\n") {
            // `hierarchy:controllers:path`; hierarchy 0 without controllers is version 2.
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",")
            if fields[0] == "0", controllers.isEmpty {
                // On a mixed machine version 2 lies in `unified`, without the CPU controller.
                quotas += groups(fields[2]).compactMap { versionTwoQuota("/sys/fs/cgroup" + $0) }
            } else if controllers.contains("cpu") {
                // The folder has the controllers' joined name; `cpu` is a link to it almost everywhere.
                let mounts = Set(["/sys/fs/cgroup/\(fields[1])", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"])
                quotas += mounts.flatMap { mount in groups(fields[2]).compactMap { versionOneQuota(mount + $0) } }
            }
        }
        return quotas.min()
    }

    /// The workers to start when nobody says how many: one for each CPU that is both allowed and paid for.
    static func workers(allowedCPUs: Int, quota: Double?) -> Int {
        guard let quota else { return max(1, allowedCPUs) }
        return max(1, min(allowedCPUs, Int(quota.rounded(.up))))
    }

    /// A group's path and those of all groups above it, the root (empty) last. In a container the path may be the host's, of
    /// which only the root is mounted.
    private func groups(_ path: Substring) -> [String] {
        var parts = path.split(separator: "/")
        var result: [String] = []
        while !parts.isEmpty {
            result.append("/" + parts.joined(separator: "/"))
            parts.removeLast()
        }
        return result + [""]
    }

    /// `cpu.max`: `max 100000` or `150000 100000`, microseconds of time per period.
    private func versionTwoQuota(_ group: String) -> Double? {
        guard let fields = read(group + "/cpu.max")?.split(whereSeparator: \.isWhitespace), fields.count == 2 else { return nil }
        return ratio(Double(fields[0]), Double(fields[1]))
    }

    private func versionOneQuota(_ group: String) -> Double? {
        func number(_ file: String) -> Double? {
            read("\(group)/\(file)")?.split(whereSeparator: \.isWhitespace).first.flatMap { Double($0) }
        }
        // -1 is "no limit".
        return ratio(number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"))
    }

    private func ratio(_ quota: Double?, _ period: Double?) -> Double? {
        guard let quota, let period, quota > 0, period > 0 else { return nil }
        return quota / period
    }
}
