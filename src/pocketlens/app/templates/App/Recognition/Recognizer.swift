import CoreML
import CoreVideo
import Foundation
import RecognizerKit
import Vision

/// A camera frame on its way from the capture queue to the recogniser.
struct Frame: @unchecked Sendable {
    // Safe to pass on: nobody writes to the buffer after the camera has delivered it.
    let pixelBuffer: CVPixelBuffer

    var size: CGSize {
        CGSize(
            width: CVPixelBufferGetWidth(pixelBuffer),
            height: CVPixelBufferGetHeight(pixelBuffer)
        )
    }
}

/// Runs the model. It is loaded once, at the first picture.
actor Recognizer {
    /// What the model says of one picture: every class with its probability, in no fixed order.
    typealias Labels = [(label: String, probability: Double)]

    nonisolated let configuration: RecognizerConfiguration

    private typealias Perform = @Sendable (CoreMLRequest) async throws -> [any VisionObservation]
    private let modelURL: URL
    private var request: CoreMLRequest?
    private var computeUnits = MLComputeUnits.all

    /// Finds `recognizer.json` and the compiled model in the bundle; loads nothing yet.
    init(bundle: Bundle) throws {
        guard let file = bundle.url(forResource: "recognizer", withExtension: "json") else {
            throw RecognizerError.missing("recognizer.json")
        }
        configuration = try RecognizerConfiguration(json: Data(contentsOf: file))
        let name = configuration.model
        guard let model = bundle.url(forResource: name, withExtension: "mlmodelc") else {
            throw RecognizerError.missing("\(name).mlmodelc")
        }
        modelURL = model
    }

    /// Classifies a frame that is upright already.
    func recognize(_ frame: Frame) async throws -> Labels {
        try await classify { try await $0.perform(on: frame.pixelBuffer) }
    }

    /// Classifies the contents of a picture file.
    func recognize(_ picture: Data) async throws -> Labels {
        try await classify { try await $0.perform(on: picture) }
    }

    private func classify(_ perform: Perform) async throws -> Labels {
        let observations: [any VisionObservation]
        do {
            observations = try await perform(loadedRequest())
        } catch let error where computeUnits != .cpuOnly && !(error is CancellationError) {
            // Some models do not run on some devices' Neural Engine or GPU. All run on the CPU.
            computeUnits = .cpuOnly
            request = nil
            observations = try await perform(loadedRequest())
        }
        let classes = observations.compactMap { $0 as? ClassificationObservation }
        guard !classes.isEmpty else {
            throw RecognizerError.noClassifier
        }
        return classes.map { (label: $0.identifier, probability: Double($0.confidence)) }
    }

    private func loadedRequest() async throws -> CoreMLRequest {
        if let request {
            return request
        }
        let options = MLModelConfiguration()
        options.computeUnits = computeUnits
        let model = try await MLModel.load(contentsOf: modelURL, configuration: options)
        var loaded = CoreMLRequest(model: try CoreMLModelContainer(model: model))
        // Vision stretches the picture unless it is told otherwise.
        loaded.cropAndScaleAction = configuration.input.crop.visionAction
        request = loaded
        return loaded
    }
}

extension Crop {
    var visionAction: ImageCropAndScaleAction {
        switch self {
        case .centerCrop: .centerCrop
        case .fit: .scaleToFit
        case .fill: .scaleToFill
        }
    }
}

enum RecognizerError: LocalizedError {
    case missing(String)
    case noClassifier

    var errorDescription: String? {
        switch self {
        case .missing(let file):
            String(localized: "\(file) is missing from the app.")
        case .noClassifier:
            String(localized: "The model gave no classes: it is not an image classifier.")
        }
    }
}
