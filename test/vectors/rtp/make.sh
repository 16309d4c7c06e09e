#!/bin/sh
# Makes the vectors of this folder anew. Needs ffmpeg and gst-launch-1.0.
set -e
cd "$(dirname "$0")"
picture="-f lavfi -i testsrc2=s=160x96:r=10"
encode="ffmpeg -v error -y -bitexact -threads 1"
pay() { gst-launch-1.0 -q "$@"; }

# Open groups of pictures, two slices per picture, B-pictures.
$encode $picture -frames:v 10 -pix_fmt yuv420p -c:v libx264 -x264-params \
  keyint=5:min-keyint=5:scenecut=0:open-gop=1:bframes=2:b-adapt=0:slices=2:aud=1:repeat-headers=1 \
  -crf 30 -f h264 h264.h264
pay filesrc location=h264.h264 ! h264parse ! rtph264pay mtu=300 aggregate-mode=max-stap seqnum-offset=65500 \
  timestamp-offset=1 ssrc=1 ! rtpstreampay ! filesink location=h264.rtp
$encode $picture -frames:v 10 -pix_fmt yuv420p -c:v libx265 -x265-params \
  log-level=none:keyint=5:min-keyint=5:scenecut=0:open-gop=1:bframes=2:slices=2:aud=1:repeat-headers=1:pools=1 \
  -crf 30 -f hevc h265.h265
pay filesrc location=h265.h265 ! h265parse ! rtph265pay mtu=300 aggregate-mode=max seqnum-offset=65500 \
  timestamp-offset=1 ssrc=1 ! rtpstreampay ! filesink location=h265.rtp
$encode $picture -frames:v 3 -pix_fmt yuvj420p -c:v mjpeg -huffman default -q:v 8 -f mjpeg mjpeg.mjpeg
pay filesrc location=mjpeg.mjpeg ! jpegparse ! rtpjpegpay mtu=500 seqnum-offset=65530 \
  timestamp-offset=1 ssrc=1 ! rtpstreampay ! filesink location=mjpeg.rtp
$encode $picture -frames:v 6 -pix_fmt yuv420p -c:v libvpx -g 3 -b:v 100k -f ivf vp8.ivf
ffmpeg -v error -y -i vp8.ivf -c copy -f webm vp8.webm
pay filesrc location=vp8.webm ! matroskademux ! rtpvp8pay picture-id-mode=2 mtu=200 \
  seqnum-offset=65530 timestamp-offset=1 ssrc=1 ! rtpstreampay ! filesink location=vp8.rtp
rm vp8.webm
$encode -f lavfi -i sine=frequency=440:sample_rate=16000 -t 0.6 -c:a aac -b:a 24k -f adts aac.aac
pay filesrc location=aac.aac ! aacparse ! rtpmp4gpay mtu=80 seqnum-offset=65530 timestamp-offset=1 \
  ssrc=1 ! rtpstreampay ! filesink location=aac.rtp
