internal import NIOCore
internal import Routing

/// When each probe is made, and what it means for the endpoints that want it. Belongs to its event loop.
final class ProbeSchedule {
    private final class Entry {
        let probe: Probe
        var series = ProbeSeries()
        var endpoints: Set<EndpointKey> = []
        var next: Scheduled<Void>?

        init(_ probe: Probe) { self.probe = probe }
    }

    private let underWayMax: Int
    private let loop: any EventLoop
    private let report: Prober.Report
    private var endpoints: [EndpointKey: [Probe]] = [:]
    private var entries: [Probe: Entry] = [:]
    /// Endpoints reported as not well, each with what was wrong.
    private var unwell: [EndpointKey: String] = [:]
    private var underWay = 0
    /// Probes that are due and have no place yet, the oldest last.
    private var waiting: [Entry] = []

    init(underWayMax: Int, loop: any EventLoop, report: @escaping Prober.Report) {
        self.underWayMax = underWayMax
        self.loop = loop
        self.report = report
    }

    func replace(with next: [EndpointKey: [Probe]]) {
        guard next != endpoints else { return }
        endpoints = next
        var wanted: [Probe: Set<EndpointKey>] = [:]
        for (key, probes) in next { for probe in probes { wanted[probe, default: []].insert(key) } }
        for (probe, entry) in entries where wanted[probe] == nil {
            entry.next?.cancel()
            entries[probe] = nil
        }
        waiting.removeAll { entries[$0.probe] !== $0 }
        for (probe, keys) in wanted {
            if let entry = entries[probe] {
                entry.endpoints = keys
                continue
            }
            let entry = Entry(probe)
            entry.endpoints = keys
            entries[probe] = entry
            plan(entry, after: probe.initialDelay + probe.period * Double.random(in: 0..<1))
        }
        for key in Set(unwell.keys).union(next.keys) { judge(key) }
    }

    private func plan(_ entry: Entry, after delay: Duration) {
        entry.next = loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [weak self] in
            guard let self, self.entries[entry.probe] === entry else { return }
            self.waiting.insert(entry, at: 0)
            self.beginNext()
        }
    }

    private func beginNext() {
        while underWay < underWayMax, let entry = waiting.popLast() {
            underWay += 1
            // A little more or less than the period, so that those that once fell together don't stay so.
            let next = entry.probe.period * Double.random(in: 0.9..<1.1)
            let began = NIODeadline.now()
            Question(entry.probe) { [weak self] answer in
                guard let self else { return }
                self.underWay -= 1
                if self.entries[entry.probe] === entry {
                    let turns = entry.series.add(answer, rise: entry.probe.rise, fall: entry.probe.fall)
                    if turns { for key in entry.endpoints { self.judge(key) } }
                    let took = Duration.nanoseconds((NIODeadline.now() - began).nanoseconds)
                    self.plan(entry, after: max(.zero, next - took))
                }
                self.beginNext()
            }.begin(on: loop)
        }
    }

    /// Reports an endpoint whose verdict has turned.
    private func judge(_ key: EndpointKey) {
        let failure = endpoints[key]?.lazy.compactMap { self.entries[$0]?.series.failure }.first
        guard failure != unwell[key] else { return }
        unwell[key] = failure
        report(key, failure)
    }
}
