define({numchunks:1,prefix:'Toc_Chunk',chunkstart:['/bbjobjects/Window/bbjwindow_addbutton.htm'],tree:{n:[{i:1,c:0},{i:2,c:0,n:[{i:3,c:0}]}]}});
