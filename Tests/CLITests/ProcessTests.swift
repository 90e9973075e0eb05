import Addressing
import AdminServer
import CAllocationCounter
import Logging
import Testing

@testable import CLI

struct CPUAllowanceTests {
    private func allowance(_ files: [String: String]) -> CPUAllowance { CPUAllowance { files[$0] } }

    @Test(arguments: [
        ("0", 1), ("0-1", 2), ("0-3,8,10-11", 7), ("5,7", 2),
    ])
    func allowedCPUsAreCounted(list: String, count: Int) {
        #expect(allowance(["/proc/self/status": "Name:\tringway\nCpus_allowed_list:\t\(list)\nMems_allowed:\t1\n"]).allowedCPUs() == count)
    }

    @Test func withoutProcNothingIsKnown() {
        #expect(allowance([:]).allowedCPUs() == nil)
        #expect(allowance([:]).quota() == nil)
    }

    @Test func theSmallestQuotaOfAllGroupsAboveCounts() {
        let files = [
            "/proc/self/cgroup": "0::/kubepods/pod1/container\n",
            "/sys/fs/cgroup/kubepods/pod1/container/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000\n",
            "/sys/fs/cgroup/kubepods/cpu.max": "400000 100000\n",
        ]
        #expect(allowance(files).quota() == 1.5)
    }

    @Test func aContainerSeesItsOwnGroupAsTheRoot() {
        #expect(allowance(["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 100000"]).quota() == 0.5)
    }

    @Test func versionOneIsReadFromTheControllersFolder() {
        let files = [
            "/proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/docker/abc\n0::/\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        ]
        #expect(allowance(files).quota() == 2)
        let unlimited = files.merging(["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"]) { $1 }
        #expect(allowance(unlimited).quota() == nil)
    }

    @Test(
        arguments: [
            (8, nil, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.5, 1), (1, 4.0, 1), (0, nil, 1),
        ] as [(Int, Double?, Int)])
    func workersAreAllowedAndPaidFor(cpus: Int, quota: Double?, workers: Int) {
        #expect(CPUAllowance.workers(allowedCPUs: cpus, quota: quota) == workers)
    }
}

struct AdminSocketLocationTests {
    @Test func theRuntimeDirectoryComesFirstThenRootsThenTmp() {
        #expect(AdminSocketLocation(runtimeDirectory: "/run/user/1000", userID: 1000).path == "/run/user/1000/ringway/admin.sock")
        #expect(AdminSocketLocation(runtimeDirectory: nil, userID: 0).path == "/run/ringway/admin.sock")
        #expect(AdminSocketLocation(runtimeDirectory: nil, userID: 1000).path == "/tmp/ringway-1000/admin.sock")
    }
}

struct AllocationCounterTests {
    private final class Box {
        var value = 1
    }

    @Test(.enabled(if: ringway_allocations_are_counted())) func eachAllocationOfTheThreadIsCounted() {
        var boxes: [Box] = []
        boxes.reserveCapacity(1000)
        let before = ringway_allocation_count()
        for _ in 0..<1000 { boxes.append(Box()) }
        let counted = ringway_allocation_count() - before
        #expect(counted >= 1000)
        #expect(counted < 1100, "only what was asked for")
        #expect(boxes.count == 1000)
    }

    @Test func plainArithmeticAllocatesNothing() {
        var sum: UInt64 = 0
        var number: UInt64 = 0
        let before = ringway_allocation_count()
        // A plain loop: iterating over a range allocates in a debug build.
        while number < 10_000 {
            sum = sum &* 31 &+ number
            number += 1
        }
        let counted = ringway_allocation_count() - before
        #expect(counted == 0)
        #expect(sum != 0)
    }
}

struct HostTests {
    @Test func theKernelSaysItsRelease() {
        #expect(Host.kernelRelease.first?.isNumber == true)
    }

    @Test func aMissingFileIsNilAndAProcFileIsRead() {
        #expect(Host.readFile("/no/such/file") == nil)
        #expect(Host.readFile("/proc/self/status")?.contains("Cpus_allowed_list") == true)
    }

    @Test func aDirectoryOfOthersIsNotPrivate() {
        #expect(Host.privateDirectory("/proc/ringway")?.contains("can't create") == true)
        #expect(Host.privateDirectory("/tmp") != nil, "anybody may write there")
    }
}

struct AdminServersTests {
    @Test func aTakenPortThatNobodyAskedForIsNoReasonNotToBalance() async throws {
        let subject = AdminSubject(report: { preconditionFailure("nobody asks for it") })
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let loopback = IPAddress("127.0.0.1")!
        let first = try await AdminServers.start(
            socket: AdminSocketArgument.none, address: .address(loopback, port: 0), subject: subject, logger: logger)
        guard case .address(_, let port)? = first.listener?.place else { preconditionFailure("it listens") }
        let taken = AdminListenArgument.address(loopback, port: port)
        let second = try await AdminServers.start(
            socket: AdminSocketArgument.none, address: nil, byDefault: taken, subject: subject, logger: logger)
        #expect(second.all.isEmpty)
        await #expect(throws: AdminServerError.self) {
            try await AdminServers.start(socket: AdminSocketArgument.none, address: taken, subject: subject, logger: logger)
        }
        #expect(
            try await AdminServers.start(
                socket: AdminSocketArgument.none, address: AdminListenArgument.none, subject: subject, logger: logger
            ).all.isEmpty)
        await first.stop()
    }
}
