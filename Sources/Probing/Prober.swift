internal import NIOCore
internal import NIOPosix
package import Routing

/// Asks endpoints whether they are well, on the control side: TCP connects and HTTP GETs, each bounded in time and in bytes.
///
/// Probes that are alike are made once for all endpoints that want them. They are spread over their period by chance, and again each
/// time, so that many never fall together; a few are under way at once, and further ones wait their turn. An endpoint is well until
/// one of its probes has failed as often in a row as it says, and again once all of them have succeeded as often.
package final class Prober: Sendable {
    /// Told on the prober's thread when an endpoint's verdict turns: nil for a well one, else what is wrong.
    package typealias Report = @Sendable (_ endpoint: EndpointKey, _ failure: String?) -> Void

    /// Each of them holds a descriptor.
    package static let underWayMax = 32

    /// Never shut down: an idle thread holds nothing up at exit.
    private static let eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    private let loop: any EventLoop
    private let schedule: NIOLoopBoundBox<ProbeSchedule>

    package init(underWayMax: Int = Prober.underWayMax, report: @escaping Report) {
        loop = Self.eventLoops.next()
        schedule = .makeBoxSendingValue(ProbeSchedule(underWayMax: underWayMax, loop: loop, report: report), eventLoop: loop)
    }

    /// Probes these endpoints from now on, and no others. What goes on as before keeps its verdict; an endpoint that is no longer
    /// probed is reported well, since nobody knows better.
    package func probe(_ endpoints: [EndpointKey: [Probe]]) {
        let schedule = schedule
        loop.execute { schedule.value.replace(with: endpoints) }
    }
}
