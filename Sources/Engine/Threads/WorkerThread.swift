import CLinux
import CLiburing
import Glibc

/// A plain thread, bound to one CPU if asked. Workers are not tasks: nothing may move them or stop them half-way.
// Safety: the handle is written once, before the object is handed out, and only read after it.
@safe
package final class WorkerThread: @unchecked Sendable {
    private var thread = pthread_t()

    private final class Start {
        let name: String
        let cpu: Int?
        let body: @Sendable () -> Void

        init(name: String, cpu: Int?, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.cpu = cpu
            self.body = body
        }
    }

    /// Starts `body`.
    ///
    /// - Parameters:
    ///   - name: at most 15 bytes; `top -H` shows it.
    ///   - cpu: the CPU to bind the thread to, or nil. A CPU that is gone by now leaves the thread unbound.
    package init(name: String, cpu: Int?, body: @escaping @Sendable () -> Void) {
        let start = unsafe Unmanaged.passRetained(Start(name: name, cpu: cpu, body: body))
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                unsafe pthread_setname_np(pthread_self(), start.name)
                if let cpu = start.cpu { CPUSet.bindThread(to: cpu) }
                // Signals are the main thread's business.
                var all = sigset_t()
                unsafe sigfillset(&all)
                unsafe pthread_sigmask(SIG_SETMASK, &all, nil)
                start.body()
                return nil
            }, start.toOpaque())
        guard result == 0 else { fatalError("pthread_create: errno \(result)") }
    }

    /// Waits for the thread's end. Once only.
    package func join() { pthread_join(thread, nil) }
}

/// The CPUs the calling thread may run on.
package enum CPUSet {
    private static let words = 128  // 8192 CPUs, the most Linux has

    /// CPU numbers in rising order; `[0]` when the kernel won't say.
    package static func allowed() -> [Int] {
        var mask = [UInt64](repeating: 0, count: words)
        guard unsafe ringway_get_affinity(&mask, words * 8) >= 0 else { return [0] }
        let cpus = (0..<words * 64).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
        return cpus.isEmpty ? [0] : cpus
    }

    static func bindThread(to cpu: Int) {
        var mask = [UInt64](repeating: 0, count: words)
        mask[cpu / 64] = 1 << UInt64(cpu % 64)
        _ = unsafe ringway_set_affinity(mask, words * 8)
    }
}
