import CoreGraphics
import Foundation
import Observation
import RecognizerKit

/// What the camera screen shows. It brings the camera's frames to the recogniser.
@MainActor
@Observable
final class CameraModel {
    private(set) var state = CaptureState.starting
    private(set) var label: StableLabel?
    private(set) var frameSize = CGSize.zero
    private(set) var isTorchOn = false
    /// Why nothing can be recognised, in words for the user.
    private(set) var problem: String?
    private(set) var input: InputSpec?

    private let capture = CaptureService()
    private var recognizer: Recognizer?
    private var following: Task<Void, Never>?
    private var recognizing: Task<Void, Never>?

    var preview: PreviewSource {
        capture.preview
    }

    var camera: CameraInfo? {
        if case .running(let camera) = state { camera } else { nil }
    }

    /// Starts the camera and the recogniser, or tries again what failed.
    func start() async {
        problem = nil
        if following == nil {
            following = Task { await followStates() }
        }
        if recognizing == nil {
            recognizing = Task { await recognizeFrames() }
        }
        await capture.start()
    }

    func rotateFrames(to angle: CGFloat) {
        Task { await capture.rotateFrames(to: angle) }
    }

    func focus(at point: CGPoint) {
        Task { await capture.focus(at: point) }
    }

    func toggleTorch() {
        Task { isTorchOn = await capture.setTorch(!isTorchOn) }
    }

    private func followStates() async {
        for await state in capture.states {
            self.state = state
            if camera == nil {
                label = nil
                isTorchOn = false
            }
        }
    }

    private func recognizeFrames() async {
        do {
            let recognizer = try self.recognizer ?? Recognizer(bundle: .main)
            self.recognizer = recognizer
            input = recognizer.configuration.input
            var tracker = RecognitionTracker(configuration: recognizer.configuration)
            // One frame at a time: the next is taken only when this one has been recognised.
            for await frame in capture.frames {
                let labels = try await recognizer.recognize(frame)
                show(try tracker.add(labels), of: frame.size)
            }
        } catch {
            label = nil
            problem = error.localizedDescription
        }
        recognizing = nil
    }

    private func show(_ steady: StableLabel?, of size: CGSize) {
        // Only a change may redraw the screen, not every frame.
        if label != steady {
            label = steady
        }
        if frameSize != size {
            frameSize = size
        }
    }
}
