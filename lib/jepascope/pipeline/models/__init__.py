"""What training left, held side by side: the arms, and the predictions of one split."""
