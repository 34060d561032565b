import AVFoundation
import SwiftUI
import UIKit

/// The live preview of the whole frame: the user sees everything that the model can see.
struct CameraPreview: UIViewRepresentable {
    let source: PreviewSource
    let camera: CameraInfo?
    /// Called with the angle, in degrees, that makes the image upright.
    let onRotation: @MainActor (CGFloat) -> Void
    /// Called with the position of a tap in sensor coordinates, from (0, 0) to (1, 1).
    let onTap: @MainActor (CGPoint) -> Void

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        source.connect(to: view.previewLayer)
        view.previewLayer.videoGravity = .resizeAspect
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {
        view.onRotation = onRotation
        view.onTap = onTap
        if let camera {
            view.follow(cameraWithID: camera.id)
        }
    }
}

/// A view whose layer is the preview; it keeps the image upright.
final class PreviewView: UIView {
    var onRotation: @MainActor (CGFloat) -> Void = { _ in }
    var onTap: @MainActor (CGPoint) -> Void = { _ in }
    private var coordinator: AVCaptureDevice.RotationCoordinator?
    private var observation: NSKeyValueObservation?

    override class var layerClass: AnyClass {
        AVCaptureVideoPreviewLayer.self
    }

    var previewLayer: AVCaptureVideoPreviewLayer {
        // `layerClass` guarantees this type.
        layer as! AVCaptureVideoPreviewLayer
    }

    override init(frame: CGRect) {
        super.init(frame: frame)
        addGestureRecognizer(UITapGestureRecognizer(target: self, action: #selector(tapped)))
    }

    @available(*, unavailable)
    required init?(coder: NSCoder) {
        fatalError("init(coder:) is not supported")
    }

    func follow(cameraWithID id: String) {
        guard coordinator?.device?.uniqueID != id, let camera = AVCaptureDevice(uniqueID: id)
        else { return }
        let coordinator = AVCaptureDevice.RotationCoordinator(
            device: camera, previewLayer: previewLayer
        )
        self.coordinator = coordinator
        // AVFoundation reports changes on the main thread.
        observation = coordinator.observe(\.videoRotationAngleForHorizonLevelPreview) {
            [weak self] _, _ in
            guard let self else { return }
            MainActor.assumeIsolated { self.rotate() }
        }
        rotate()
    }

    private func rotate() {
        guard let angle = coordinator?.videoRotationAngleForHorizonLevelPreview else { return }
        if let connection = previewLayer.connection,
            connection.isVideoRotationAngleSupported(angle)
        {
            connection.videoRotationAngle = angle
        }
        onRotation(angle)
    }

    @objc private func tapped(_ recognizer: UITapGestureRecognizer) {
        let position = recognizer.location(in: self)
        onTap(previewLayer.captureDevicePointConverted(fromLayerPoint: position))
    }
}
