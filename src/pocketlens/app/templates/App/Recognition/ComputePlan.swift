import CoreML
import Foundation

/// How many of a model's operations Core ML plans to run on each processor.
struct ComputePlan: Sendable {
    enum Processor: CaseIterable, Sendable {
        case neuralEngine, gpu, cpu
    }

    private(set) var operations: [Processor: Int] = [:]

    /// The processor that runs most operations; `nil` if Core ML does not report it.
    var busiest: Processor? {
        Processor.allCases.filter { operations[$0] != nil }.max {
            operations[$0, default: 0] < operations[$1, default: 0]
        }
    }

    init(model: URL, computeUnits: MLComputeUnits) async throws {
        let options = MLModelConfiguration()
        options.computeUnits = computeUnits
        let plan = try await MLComputePlan.load(contentsOf: model, configuration: options)
        switch plan.modelStructure {
        case .program(let program):
            for operation in program.functions["main"]?.block.operations ?? [] {
                count(plan.deviceUsage(for: operation))
            }
        case .neuralNetwork(let network):
            for layer in network.layers {
                count(plan.deviceUsage(for: layer))
            }
        default:
            break
        }
    }

    /// `usage` is `nil` for constants, which do not run on a processor.
    private mutating func count(_ usage: MLComputePlan.DeviceUsage?) {
        guard let usage else { return }
        let processor: Processor? =
            switch usage.preferred {
            case .neuralEngine: .neuralEngine
            case .gpu: .gpu
            case .cpu: .cpu
            @unknown default: nil
            }
        if let processor {
            operations[processor, default: 0] += 1
        }
    }
}
