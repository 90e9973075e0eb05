/// Objects that tests of names are about.
enum Manifests {
    static let cluster = """
        {apiVersion: v1, kind: Namespace, metadata: {name: empty}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: prod}
        spec:
          clusterIP: 10.96.0.7
          clusterIPs: [10.96.0.7, "fd00:10:96::7"]
          ipFamilies: [IPv4, IPv6]
          ipFamilyPolicy: RequireDualStack
          ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: web-1, namespace: prod, labels: {kubernetes.io/service-name: web}}
        addressType: IPv4
        ports: [{name: http, port: 8080}]
        endpoints:
        - {addresses: [10.1.0.1], hostname: one}
        - {addresses: [10.1.0.2], conditions: {ready: false}}
        - {addresses: [10.1.0.3]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: lonely, namespace: prod}
        spec: {clusterIP: 10.96.0.8, clusterIPs: [10.96.0.8], ports: [{port: 80}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: balanced, namespace: prod}
        spec: {type: LoadBalancer, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{name: https, port: 443}]}
        status: {loadBalancer: {ingress: [{ip: 192.0.2.9}]}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: db, namespace: prod}
        spec: {clusterIP: None, clusterIPs: [None], ports: [{name: sql, port: 5432}, {name: admin, port: 81}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata:
          {name: db-1, namespace: prod, labels: {kubernetes.io/service-name: db, service.kubernetes.io/headless: ""}}
        addressType: IPv4
        ports: [{name: sql, port: 5432}, {name: admin, port: 81}]
        endpoints:
        - {addresses: [10.1.1.1], hostname: db-0}
        - {addresses: [10.1.1.2], hostname: db-1}
        - {addresses: [10.1.1.3], conditions: {ready: false}, hostname: db-2}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: db-2, namespace: prod, labels: {kubernetes.io/service-name: db}}
        addressType: IPv6
        ports: [{name: sql, port: 15432}]
        endpoints: [{addresses: ["fd00:1::1"], hostname: db-0}]
        ---
        {apiVersion: v1, kind: Service, metadata: {name: idle, namespace: prod}, spec: {clusterIP: None, ports: [{port: 80}]}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: set, namespace: prod}
        spec:
          {clusterIP: None, publishNotReadyAddresses: true, selector: {app: set}, ports: [{name: raft, port: 7000, targetPort: raft}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: set-0, namespace: prod, labels: {app: set}}
        spec:
          {hostname: set-0, subdomain: set, containers: [{name: c, image: c, ports: [{name: raft, containerPort: 7001}]}]}
        status: {podIP: 10.1.2.1, podIPs: [{ip: 10.1.2.1}], phase: Running}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: set-1, namespace: prod, labels: {app: set}}
        spec:
          {hostname: set-1, subdomain: set, containers: [{name: c, image: c, ports: [{name: raft, containerPort: 7001}]}]}
        status:
          {podIP: 10.1.2.2, podIPs: [{ip: 10.1.2.2}], phase: Running, conditions: [{type: Ready, status: "True"}]}
        ---
        {apiVersion: v1, kind: Service, metadata: {name: out, namespace: prod}, spec: {type: ExternalName, externalName: www.example.com}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: in, namespace: prod}
        spec: {type: ExternalName, externalName: web.prod.svc.cluster.local}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: gone, namespace: prod}
        spec: {type: ExternalName, externalName: nothing.prod.svc.cluster.local}
        """

    static func alias(_ name: String, to target: String) -> String {
        """
        ---
        {apiVersion: v1, kind: Service, metadata: {name: \(name), namespace: prod}, spec: {type: ExternalName, externalName: \(target)}}

        """
    }
}
